// SPDX-License-Identifier: GPL-2.0

//! Entries in /proc.
//!
//! There are two kinds of entry, and a folder for each driver that wants more than one:
//!
//! - [`file::Operations`]: bytes at offsets, read and written as the driver sees fit;
//! - [`sequence::Sequence`]: a list of any length, one element after the other, through the
//!   kernel's `seq_file`, which takes care of buffers, of short reads and of seeking.
//!
//! An [`Entry`] is in /proc until it is dropped, and so is a [`Dir`].
//!
//! # A module that goes while its entries are open
//!
//! `struct proc_ops` has no owner, so an open entry does not keep the module: `rmmod` succeeds, and
//! what is still open must do no harm. This is why it does none (`fs/proc/inode.c`):
//!
//! - *Calls.* Each call into the driver but `release` is between `use_pde()` and `unuse_pde()`,
//!   which are in the kernel's image. `proc_remove()` makes `use_pde()` fail from now on, and waits
//!   for the calls that are running. So when it has returned no call runs, not even the last
//!   instructions of one, and none begins: `read()` and `write()` give `EIO`, `lseek()` `EINVAL`,
//!   `open()` `ENOENT`.
//! - *`release`.* `proc_remove()` then calls it for every file that is open still; when somebody is
//!   just closing one, it waits until that `release` has returned. Closing such a file later finds
//!   nothing to call. So `release` runs exactly once for each file, before `proc_remove()` returns.
//! - *The table of functions* is in the module, and nobody looks at it after that: which kinds of
//!   call there are was copied into the entry when that was made (`pde_set_flags()`).
//! - *Memory.* What is behind an entry is freed after `proc_remove()`, and what is behind an open
//!   file in `release`. The inode keeps its pointer, but only the calls above follow it.
//!
//! It would all be void for an entry with `PROC_ENTRY_PERMANENT`, which goes without `use_pde()`;
//! that flag is never set here. And no entry can be mapped: a mapping would outlive all of this.
//!
//! An entry must not be dropped in a call of its own, which would wait for itself.
//!
//! # Names that are taken
//!
//! The kernel takes a second entry with a name that is there for a bug: it says so, with a stack
//! trace, and refuses. That is `EEXIST` here. (It does not tell a name that is taken from memory
//! that ran out; of the latter, the allocator has spoken in the log. And where it makes loading a
//! module fail, `insmod` gets `EBUSY`: the loader keeps `EEXIST` for a module that is loaded.)
//!
//! C header: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h)

pub mod file;
pub mod sequence;

use core::ptr::{self, NonNull};

use kernel::{bindings, prelude::*, sync::Arc};
use kit_bindings as proc_bindings;

/// Something in /proc, removed when dropped.
///
/// # Invariants
///
/// What `proc_create_data()` or `_proc_mkdir()` returned, not removed yet.
struct Node(NonNull<bindings::proc_dir_entry>);

// SAFETY: procfs locks; any task may remove an entry.
unsafe impl Send for Node {}
// SAFETY: As above; `&Node` is only used to make entries in it.
unsafe impl Sync for Node {}

impl Node {
    /// # Safety
    ///
    /// `made` must be what a function of procfs has just made, or null.
    unsafe fn new(made: *mut bindings::proc_dir_entry) -> Result<Self> {
        // INVARIANT: By the function's contract.
        NonNull::new(made).map(Self).ok_or(EEXIST)
    }
}

impl Drop for Node {
    #[doc(alias = "proc_remove")]
    fn drop(&mut self) {
        // SAFETY: By the type invariant; in process context.
        unsafe { proc_bindings::proc_remove(self.0.as_ptr()) };
    }
}

/// A folder in /proc. Its entries keep it.
pub struct Dir(Node);

impl Dir {
    /// Makes a folder at the top of /proc, which everybody may look into.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that cannot be a name, `EEXIST` if it is taken.
    #[doc(alias = "proc_mkdir")]
    pub fn new(name: &CStr) -> Result<Arc<Self>> {
        check_name(name, true)?;
        // SAFETY: The name was checked; a null parent is /proc.
        let made = unsafe { proc_bindings::proc_mkdir(name.as_char_ptr(), ptr::null_mut()) };
        // SAFETY: Just made.
        Ok(Arc::new(Self(unsafe { Node::new(made)? }), GFP_KERNEL)?)
    }
}

/// An entry, and what is behind it. Dropping it waits until no call is running; who has it open
/// then gets `EIO`.
pub struct Entry<T> {
    // First: after that nobody uses the rest any more.
    _node: Node,
    _data: Pin<KBox<T>>,
    _dir: Option<Arc<Dir>>,
}

impl<T: Send + Sync + 'static> Entry<T> {
    /// Makes an entry with these functions; `mode` is the bits of `chmod`, not all 0.
    ///
    /// # Safety
    ///
    /// The functions must take the `i_private` of an inode for a `T`.
    unsafe fn new(
        dir: Option<&Arc<Dir>>,
        name: &CStr,
        mode: bindings::umode_t,
        data: impl PinInit<T, Error>,
        operations: &'static proc_bindings::proc_ops,
    ) -> Result<Self> {
        check_name(name, dir.is_none())?;
        if mode == 0 || mode & !0o777 != 0 {
            return Err(EINVAL);
        }
        let data = KBox::pin_init(data, GFP_KERNEL)?;
        let parent = dir.map_or(ptr::null_mut(), |dir| dir.0 .0.as_ptr());
        // SAFETY: The name was checked, the parent is there or /proc, the operations stay until the
        // entry was removed (they are the module's), and so do the data.
        let made = unsafe {
            proc_bindings::proc_create_data(
                name.as_char_ptr(),
                mode,
                parent,
                operations,
                ptr::from_ref(data.as_ref().get_ref()).cast_mut().cast(),
            )
        };
        Ok(Self {
            // SAFETY: Just made.
            _node: unsafe { Node::new(made)? },
            _data: data,
            _dir: dir.cloned(),
        })
    }
}

/// Refuses what procfs would answer with a warning, and what it would take for a path.
fn check_name(name: &CStr, at_top: bool) -> Result {
    let name = name.to_bytes();
    let special = matches!(name, b"" | b"." | b"..") || name.contains(&b'/');
    let process = at_top && name.iter().all(u8::is_ascii_digit);
    if special || process || name.len() > bindings::NAME_MAX as usize {
        return Err(EINVAL);
    }
    Ok(())
}

/// The data of the entry that this file is open on.
///
/// # Safety
///
/// The file must be open on an entry that was made with a `T`, and the entry must not have been
/// removed for `'a`.
unsafe fn data_of<'a, T>(file: *const bindings::file) -> &'a T {
    // SAFETY: By the function's contract; that is where procfs puts it.
    unsafe { &*(*(*file).f_inode).i_private.cast() }
}
