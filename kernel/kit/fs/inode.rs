// SPDX-License-Identifier: GPL-2.0

//! Files and folders, and the names in folders.

use core::{marker::PhantomData, ptr};

use kernel::{bindings, error::from_result, prelude::*};
use kit_bindings as more;

use super::{file::File, super_block::SuperBlock, FileSystem, Kind};
use crate::compat::Create;

/// The functions that the kernel calls with inodes of the file system `T`.
///
/// # Invariants
///
/// Each inode of such a file system was made by [`Self::allocate`], so [`FileSystem::create`] has
/// succeeded for it. All changes of a file's size have been reported to the instance, and its size
/// is changed only with the inode locked.
pub(super) struct Inode<T>(PhantomData<T>);

impl<T: FileSystem> Inode<T> {
    const FOLDER: &'static bindings::inode_operations = &bindings::inode_operations {
        lookup: Some(bindings::simple_lookup),
        create: Some(<Self as Create>::entry),
        unlink: Some(bindings::simple_unlink),
        mkdir: Some(Self::mkdir),
        rmdir: Some(bindings::simple_rmdir),
        rename: Some(bindings::simple_rename),
        ..pin_init::zeroed()
    };

    /// Makes a file or folder in `folder` (null for the root), and gives a reference to it.
    ///
    /// # Safety
    ///
    /// The super block has an instance of `T`; the folder is null, or one of it that is locked.
    pub(super) unsafe fn allocate(
        super_block: *mut bindings::super_block,
        folder: *const bindings::inode,
        kind: Kind,
        mode: u16,
    ) -> Result<*mut bindings::inode> {
        // SAFETY: By the function's contract the instance was set, which is alive.
        let instance = unsafe { SuperBlock::<T>::instance(super_block) };
        instance.create(kind)?;
        // SAFETY: By the function's contract.
        let inode = unsafe { bindings::new_inode(super_block) };
        if inode.is_null() {
            instance.remove(kind);
            return Err(ENOMEM);
        }
        let ty = match kind {
            Kind::File => bindings::S_IFREG,
            Kind::Folder => bindings::S_IFDIR,
        };
        // INVARIANT: `create()` has succeeded, and the size is 0.
        // SAFETY: Nobody else has the inode yet. The file system is not mounted with mapped ids,
        // which takes a flag that it does not have.
        unsafe {
            (*inode).i_ino = bindings::get_next_ino().into();
            let mapping = &raw mut bindings::nop_mnt_idmap;
            bindings::inode_init_owner(
                mapping,
                inode,
                folder,
                mode & !(bindings::S_IFMT as u16) | ty as u16,
            );
            bindings::simple_inode_init_ts(inode);
            match kind {
                Kind::File => File::<T>::init(inode),
                Kind::Folder => {
                    (*inode).i_op = Self::FOLDER;
                    (*inode).__bindgen_anon_3.i_fop = &raw const bindings::simple_dir_operations;
                    // For its entry `.`.
                    bindings::inc_nlink(inode);
                }
            }
        }
        Ok(inode)
    }

    /// Makes a file or folder with a name.
    ///
    /// # Safety
    ///
    /// The folder is one of `T`, locked, and the name a negative one in it.
    unsafe fn make(
        folder: *mut bindings::inode,
        name: *mut bindings::dentry,
        kind: Kind,
        mode: bindings::umode_t,
    ) -> Result {
        // SAFETY: By the function's contract.
        unsafe {
            let inode = Self::allocate((*folder).i_sb, folder, kind, mode)?;
            // The reference goes to the name.
            bindings::d_make_persistent(name, inode);
            if kind == Kind::Folder {
                // For the new one's entry `..`.
                bindings::inc_nlink(folder);
            }
            more::inode_set_mtime_to_ts(folder, bindings::inode_set_ctime_current(folder));
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Called by the VFS for a negative name in a locked folder of `T`.
    unsafe extern "C" fn mkdir(
        _: *mut bindings::mnt_idmap,
        folder: *mut bindings::inode,
        name: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // SAFETY: By the function's contract.
        match unsafe { Self::make(folder, name, Kind::Folder, mode) } {
            Ok(()) => ptr::null_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the kernel for an inode of `T` that nobody has a reference to any more.
    pub(super) unsafe extern "C" fn evict(inode: *mut bindings::inode) {
        // SAFETY: By the function's contract; this is what the kernel would do without us.
        unsafe {
            bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
            bindings::clear_inode(inode);
        }
        // SAFETY: By the function's contract. Whoever drops the last reference to an inode keeps
        // its super block meanwhile, as for any file system, so the instance is there.
        let (instance, size, mode) = unsafe {
            let instance = SuperBlock::<T>::instance((*inode).i_sb);
            (instance, (*inode).i_size, (*inode).i_mode)
        };
        let kind = if u32::from(mode) & bindings::S_IFMT == bindings::S_IFDIR {
            Kind::Folder
        } else {
            if size > 0 {
                instance.shrink(size as u64, 0);
            }
            Kind::File
        };
        instance.remove(kind);
    }
}

impl<T: FileSystem> Create for Inode<T> {
    unsafe fn create(
        folder: *mut bindings::inode,
        name: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: By the function's contract; the table with it is that of a folder of `T`.
        from_result(|| unsafe { Self::make(folder, name, Kind::File, mode) }.map(|()| 0))
    }
}
