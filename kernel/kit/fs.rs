// SPDX-License-Identifier: GPL-2.0

//! File systems that live in memory.
//!
//! For a file system that stores nothing, the kernel has nearly all there is to do: names are kept
//! by the cache of names, contents by the page cache, and `fs/libfs.c` has the functions that tie
//! these together. What is left for a driver is what makes it *this* file system: its options, how
//! much it takes, and what it says of itself. That is [`FileSystem`]; a value of the driver's type
//! is a mounted instance. The `kernel` crate has nothing of it.
//!
//! # Writing one
//!
//! - A static [`Type`] is the file system as the kernel knows it. It has to be a static, because
//!   the classes of all the locks in it (for lockdep) are identified by their addresses.
//! - A [`Registration`] of it makes it mountable and shows it in `/proc/filesystems`, until it is
//!   dropped. It should be the last that a module's initialisation does: if that fails later, the
//!   module goes even if somebody was quick enough to mount.
//! - Options are parsed one by one into [`FileSystem::Options`], of which [`FileSystem::new`] makes
//!   the instance.
//! - Space is asked for before it is used: [`FileSystem::create`] and [`FileSystem::grow`] may
//!   refuse, and for each that did not there is in the end one [`FileSystem::remove`], and a
//!   [`FileSystem::shrink`] by as much.
//!
//! # Who outlives whom
//!
//! A mounted file system keeps its module, and so does an open file, which keeps the mount. The
//! instance is dropped in `kill_sb`, after `kill_anon_super()`, which evicts all inodes first; so
//! it is there for each call on an inode. All other memory (inodes, names, pages) is the kernel's,
//! with functions in the kernel's image, so nothing of ours is called for what RCU frees later.
//!
//! | here | in C |
//! |---|---|
//! | [`Type`], [`Registration`] | `struct file_system_type`, `register_filesystem()` |
//! | [`FileSystem::Options`] | `fc->fs_private` |
//! | the instance | `sb->s_fs_info` |
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

mod context;
mod file;
mod inode;
mod super_block;

use core::marker::PhantomData;

use kernel::{bindings, error::to_result, fmt, prelude::*, types::Opaque};

use self::{context::Context, super_block::SuperBlock};
use crate::compat;

/// A file system in memory; a value is a mounted instance.
pub trait FileSystem: Send + Sync + Sized + 'static {
    /// What one can say when mounting; the default is that of a mount without options.
    type Options: Default + Clone + PartialEq + Send + 'static;

    /// What `mount -t` takes; there must be no dot in it.
    const NAME: &'static CStr;
    /// What `statfs()` tells of the type: a number that nobody else has.
    const MAGIC: u32;

    /// Takes one option, which has a value if it was given as `key=value`.
    ///
    /// Fails with `ENOPARAM` if there is no such option, and with `EINVAL` if the value is wrong.
    /// Whoever mounts is told which one it was.
    fn option(options: &mut Self::Options, key: &CStr, value: Option<&CStr>) -> Result;

    /// Makes an instance that is being mounted.
    fn new(options: Self::Options) -> Result<Self>;

    /// The options that it was mounted with. Remounting cannot change them: other ones are refused
    /// with `EINVAL`.
    fn options(&self) -> &Self::Options;

    /// Writes the options for `/proc/mounts`, with a comma before each.
    fn show_options(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The permissions of the root folder.
    fn root_mode(&self) -> u16;

    /// A file or folder is going to be made, of size 0. Called by several tasks at a time, as all
    /// that follow.
    fn create(&self, kind: Kind) -> Result;

    /// One that was made has gone.
    fn remove(&self, kind: Kind);

    /// The size of a file is going to be larger. Both sizes are in bytes.
    fn grow(&self, from: u64, to: u64) -> Result;

    /// The size of a file has become smaller, at last, when it goes, 0.
    fn shrink(&self, from: u64, to: u64);

    /// How much there is, and how much of it is free.
    fn usage(&self) -> Usage;
}

/// What something in a file system is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Folder,
}

/// How full an instance is. All of it is 0 if there is no limit, as for `ramfs`.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// How many pages of contents there may be.
    pub pages: u64,
    /// How many of them are not used yet.
    pub free_pages: u64,
    /// How many files and folders there may be.
    pub inodes: u64,
    /// How many of them there are not yet.
    pub free_inodes: u64,
}

/// A file system as the kernel knows it: for a static.
#[repr(transparent)]
pub struct Type<T>(Opaque<bindings::file_system_type>, PhantomData<fn() -> T>);

// SAFETY: The kernel locks what it changes of it; nothing of it can be got at here.
unsafe impl<T> Sync for Type<T> {}

impl<T: FileSystem> Type<T> {
    /// The file system `T`, not registered.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        const {
            let name = T::NAME.to_bytes();
            let mut at = 0;
            while at < name.len() {
                assert!(
                    name[at] != b'.',
                    "the kernel has no file systems with a dot in the name"
                );
                at += 1;
            }
        }
        Self(
            Opaque::new(bindings::file_system_type {
                name: T::NAME.to_bytes_with_nul().as_ptr().cast(),
                owner: compat::this_module(),
                init_fs_context: Some(Context::<T>::init),
                kill_sb: Some(SuperBlock::<T>::kill),
                ..pin_init::zeroed()
            }),
            PhantomData,
        )
    }
}

/// A file system that can be mounted, until this is dropped. What is mounted then stays.
///
/// # Invariants
///
/// It is registered.
pub struct Registration<T: FileSystem>(&'static Type<T>);

impl<T: FileSystem> Registration<T> {
    /// Registers it; it may be mounted before this returns. Fails with `EBUSY` if there is one with
    /// that name, or this one is registered already.
    #[doc(alias = "register_filesystem")]
    pub fn new(this: &'static Type<T>) -> Result<Self> {
        // SAFETY: It is static, and initialised. It is not changed but by the kernel.
        to_result(unsafe { bindings::register_filesystem(this.0.get()) })?;
        // INVARIANT: Just registered.
        Ok(Self(this))
    }
}

impl<T: FileSystem> Drop for Registration<T> {
    fn drop(&mut self) {
        // It only fails if it is not registered.
        // SAFETY: By the type invariant.
        unsafe { bindings::unregister_filesystem(self.0 .0.get()) };
    }
}
