// SPDX-License-Identifier: GPL-2.0

//! A mounted instance.

use core::{marker::PhantomData, ptr};

use kernel::{
    bindings, error::from_result, fmt, page::PAGE_SIZE, prelude::*, seq_file::SeqFile, seq_print,
    types::ForeignOwnable,
};
use kit_bindings as more;

use super::{context::Context, inode::Inode, FileSystem, Kind};

/// The functions that the kernel calls with a super block of the file system `T`.
///
/// # Invariants
///
/// The private data of such a super block are null, or the foreign pointer of a `KBox<T>`. They are
/// the latter while it has a root or an inode: from before the first until all of them were
/// evicted.
pub(super) struct SuperBlock<T>(PhantomData<T>);

impl<T: FileSystem> SuperBlock<T> {
    const OPERATIONS: &'static bindings::super_operations = &bindings::super_operations {
        statfs: Some(Self::statfs),
        drop_inode: Some(bindings::inode_just_drop),
        evict_inode: Some(Inode::<T>::evict),
        show_options: Some(Self::show_options),
        ..pin_init::zeroed()
    };

    /// The driver's side of a super block.
    ///
    /// # Safety
    ///
    /// The super block is one of `T`, and has a root or an inode during `'a`.
    pub(super) unsafe fn instance<'a>(this: *mut bindings::super_block) -> &'a T {
        // SAFETY: By the type invariant and the function's contract.
        unsafe { KBox::<T>::borrow((*this).s_fs_info) }
    }

    /// # Safety
    ///
    /// Called by `get_tree_nodev()` for a new super block of `T`, with the context of its mount.
    pub(super) unsafe extern "C" fn fill(
        this: *mut bindings::super_block,
        context: *mut more::fs_context,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the function's contract.
            let options = unsafe { Context::<T>::options(context) }.clone();
            let instance = KBox::new(T::new(options)?, GFP_KERNEL)?;
            let mode = instance.root_mode();
            // INVARIANT: Set before there is an inode.
            // SAFETY: By the function's contract nobody else uses it yet.
            unsafe {
                (*this).s_fs_info = instance.into_foreign();
                (*this).s_op = Self::OPERATIONS;
                (*this).s_magic = T::MAGIC as c_ulong;
                (*this).s_maxbytes = bindings::loff_t::MAX;
                (*this).s_blocksize = PAGE_SIZE;
                (*this).s_blocksize_bits = PAGE_SIZE.trailing_zeros() as u8;
                (*this).s_time_gran = 1;
                (*this).s_d_flags = bindings::dentry_flags_DCACHE_DONTCACHE;
            }
            // SAFETY: Just filled in.
            let root = unsafe { Inode::<T>::allocate(this, ptr::null(), Kind::Folder, mode) }?;
            // SAFETY: The reference to the inode is given away, also in case of an error.
            let root = unsafe { bindings::d_make_root(root) };
            if root.is_null() {
                return Err(ENOMEM);
            }
            // SAFETY: As above.
            unsafe { (*this).s_root = root };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel for a super block of `T`, as the last. (It may be one that could not be
    /// filled.)
    pub(super) unsafe extern "C" fn kill(this: *mut bindings::super_block) {
        // SAFETY: By the function's contract. It evicts all inodes.
        unsafe { bindings::kill_anon_super(this) };
        // SAFETY: The super block itself is still there: its caller has a reference.
        let instance = unsafe { ptr::replace(&raw mut (*this).s_fs_info, ptr::null_mut()) };
        // SAFETY: By the type invariant; there is no inode any more, so nobody uses it.
        drop(unsafe { KBox::<T>::try_from_foreign(instance) });
    }

    /// # Safety
    ///
    /// Called by the kernel with a name in a mounted instance of `T`, and memory for the answer.
    unsafe extern "C" fn statfs(
        at: *mut bindings::dentry,
        answer: *mut bindings::kstatfs,
    ) -> c_int {
        // SAFETY: By the function's contract.
        let usage = unsafe { Self::instance((*at).d_sb) }.usage();
        let answer: *mut more::kstatfs = answer.cast();
        // SAFETY: By the function's contract; the type is one and the same in C. The kernel has
        // cleared it.
        unsafe {
            (*answer).f_type = T::MAGIC as c_long;
            (*answer).f_bsize = PAGE_SIZE as c_long;
            (*answer).f_blocks = usage.pages;
            (*answer).f_bfree = usage.free_pages;
            (*answer).f_bavail = usage.free_pages;
            (*answer).f_files = usage.inodes;
            (*answer).f_ffree = usage.free_inodes;
            (*answer).f_namelen = bindings::NAME_MAX as c_long;
        }
        0
    }

    /// # Safety
    ///
    /// Called by the kernel with the root of a mounted instance of `T`.
    unsafe extern "C" fn show_options(
        to: *mut bindings::seq_file,
        root: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: By the function's contract.
        let instance = unsafe { Self::instance((*root).d_sb) };
        // SAFETY: By the function's contract.
        let to = unsafe { SeqFile::from_raw(to) };
        seq_print!(to, "{}", Options(instance));
        0
    }
}

/// The options of an instance, as something to print.
struct Options<'a, T>(&'a T);

impl<T: FileSystem> fmt::Display for Options<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show_options(f)
    }
}
