// SPDX-License-Identifier: GPL-2.0

//! Regular files, whose contents are in the page cache and nowhere else.

use core::marker::PhantomData;

use kernel::{bindings, error::from_result, prelude::*};
use kit_bindings as more;

use super::{super_block::SuperBlock, FileSystem};
use crate::compat;

/// The functions that the kernel calls with regular files of the file system `T`.
pub(super) struct File<T>(PhantomData<T>);

impl<T: FileSystem> File<T> {
    const INODE: &'static bindings::inode_operations = &bindings::inode_operations {
        setattr: Some(Self::setattr),
        getattr: Some(bindings::simple_getattr),
        ..pin_init::zeroed()
    };

    const FILE: &'static bindings::file_operations = &bindings::file_operations {
        owner: compat::this_module(),
        read_iter: Some(bindings::generic_file_read_iter),
        write_iter: Some(Self::write),
        mmap_prepare: Some(bindings::generic_file_mmap_prepare),
        fsync: Some(bindings::noop_fsync),
        splice_read: Some(bindings::filemap_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        llseek: Some(bindings::generic_file_llseek),
        ..pin_init::zeroed()
    };

    /// Makes a new inode a regular file.
    ///
    /// # Safety
    ///
    /// Nobody else has the inode yet.
    pub(super) unsafe fn init(inode: *mut bindings::inode) {
        // SAFETY: By the function's contract. Its pages are the only copy of the data: they are
        // never written back, must not be reclaimed, and cannot be moved.
        unsafe {
            (*inode).i_op = Self::INODE;
            (*inode).__bindgen_anon_3.i_fop = Self::FILE;
            (*(*inode).i_mapping).a_ops = &raw const bindings::ram_aops;
            (*(*inode).i_mapping).gfp_mask &= !(1 << bindings::___GFP_MOVABLE_BIT);
            more::mapping_set_unevictable((*inode).i_mapping);
        }
    }

    /// Has the instance agree to a file's becoming `size` long, if that is longer than it is.
    /// Gives its size.
    ///
    /// # Safety
    ///
    /// The inode is a regular file of `T`, and locked.
    unsafe fn reserve(
        inode: *mut bindings::inode,
        size: bindings::loff_t,
    ) -> Result<bindings::loff_t> {
        // SAFETY: By the function's contract, with which the size does not change.
        let (now, instance) =
            unsafe { ((*inode).i_size, SuperBlock::<T>::instance((*inode).i_sb)) };
        if size > now {
            instance.grow(now as u64, size as u64)?;
        }
        Ok(now)
    }

    /// Tells the instance of what a file does not take any more.
    ///
    /// # Safety
    ///
    /// The inode is a regular file of `T`, and locked.
    unsafe fn release(inode: *mut bindings::inode, from: bindings::loff_t) {
        // SAFETY: By the function's contract, with which the size does not change.
        let (now, instance) =
            unsafe { ((*inode).i_size, SuperBlock::<T>::instance((*inode).i_sb)) };
        if now < from {
            instance.shrink(from as u64, now as u64);
        }
    }

    /// # Safety
    ///
    /// Called by the VFS on an open regular file of `T`, with an iterator to read from.
    unsafe extern "C" fn write(iocb: *mut bindings::kiocb, from: *mut bindings::iov_iter) -> isize {
        // SAFETY: By the function's contract. The mapping's host is the inode that has the data.
        let inode = unsafe { (*(*(*iocb).ki_filp).f_mapping).host };
        // SAFETY: As above; it is unlocked below.
        unsafe { more::inode_lock(inode) };
        // SAFETY: As above, and locked.
        let done = from_result(|| unsafe { Self::write_locked(inode, iocb, from) });
        // SAFETY: Locked above.
        unsafe { more::inode_unlock(inode) };
        done
    }

    /// Writes. What `generic_file_write_iter()` does, with the size agreed on before.
    ///
    /// # Safety
    ///
    /// As [`Self::write`], with the file's inode, locked.
    unsafe fn write_locked(
        inode: *mut bindings::inode,
        iocb: *mut bindings::kiocb,
        from: *mut bindings::iov_iter,
    ) -> Result<isize> {
        // SAFETY: By the function's contract.
        let count = unsafe { bindings::generic_write_checks(iocb, from) };
        if count <= 0 {
            return Ok(count);
        }
        // It does not overflow: the checks have cut the count to what a file may have.
        // SAFETY: By the function's contract; the checks have set the position (`O_APPEND`).
        let end = unsafe { (*iocb).ki_pos } + count as bindings::loff_t;
        // SAFETY: By the function's contract.
        let before = unsafe { Self::reserve(inode, end) }?;
        // SAFETY: By the function's contract.
        let done = unsafe { bindings::__generic_file_write_iter(iocb, from) };
        // Less may have been written, or nothing.
        // SAFETY: By the function's contract.
        unsafe { Self::release(inode, end.max(before)) };
        Ok(done)
    }

    /// Changes attributes. What `simple_setattr()` does, with the size agreed on before.
    ///
    /// # Safety
    ///
    /// Called by the VFS for a name of a regular file of `T`, whose inode is locked.
    unsafe extern "C" fn setattr(
        mapping: *mut bindings::mnt_idmap,
        name: *mut bindings::dentry,
        change: *mut bindings::iattr,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the function's contract.
            unsafe {
                let inode = (*name).d_inode;
                kernel::error::to_result(bindings::setattr_prepare(mapping, name, change))?;
                if (*change).ia_valid & bindings::ATTR_SIZE != 0 {
                    let before = Self::reserve(inode, (*change).ia_size)?;
                    bindings::truncate_setsize(inode, (*change).ia_size);
                    Self::release(inode, before);
                }
                bindings::setattr_copy(mapping, inode, change);
            }
            Ok(0)
        })
    }
}
