// SPDX-License-Identifier: GPL-2.0

//! What a driver does, and the table of functions by which the block layer calls it.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{
    bindings,
    error::{to_result, VTABLE_DEFAULT_ERROR},
    fmt,
    prelude::*,
    types::ForeignOwnable,
};

use super::{attributes::Attributes, disk::Inner, Bio};
use crate::compat;
use crate::ioctl::Call;

/// The driver's data, as it is lent to a callback.
pub(super) type Borrowed<'a, T> = <<T as Operations>::Data as ForeignOwnable>::Borrowed<'a>;

/// A block driver.
///
/// The driver's module cannot be unloaded while a disk is open.
#[vtable]
pub trait Operations: Sized + 'static {
    /// The driver's data for one disk, such as an `Arc`. It is dropped when the disk is gone and
    /// the last file on it closed.
    type Data: ForeignOwnable + Send + Sync;

    /// Whether what is written outlives the disk. Then of a disk that goes while it is open dirty
    /// pages are written first; else they are dropped.
    const KEEPS_DATA: bool = false;

    /// Whether the driver copies from and to the memory of bios, so that it does not care in how
    /// many pieces that is, and how they are aligned. Then bios of up to a page are not held
    /// against the disk's limits, which saves some 40 instructions each.
    const COPIES: bool = false;

    /// Takes a bio over. Called in process context, by many tasks at a time. The bio fits the
    /// disk's limits (see [`Self::COPIES`]).
    fn submit_bio(data: Borrowed<'_, Self>, bio: Bio);

    /// The disk or one of its partitions is being opened; an error refuses that. `openers` is how
    /// many there are with this one.
    fn open(_data: Borrowed<'_, Self>, _openers: u32) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// It was closed; `openers` is how many are left.
    fn release(_data: Borrowed<'_, Self>, _openers: u32) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// An ioctl that the block layer does not know. `ENOTTY` for those that the driver does not
    /// know either.
    fn ioctl(_data: Borrowed<'_, Self>, _call: Call) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The disk's serial number, for the attribute `serial` in sysfs, where `lsblk` and udev look.
    fn serial(_data: Borrowed<'_, Self>, _to: &mut fmt::Formatter<'_>) -> fmt::Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The disk is about to go: whatever bios are kept must be completed now, and those that come
    /// from now on at once.
    ///
    /// Called once, before the block layer waits for dirty pages to be written, which may be among
    /// those bios.
    fn dying(_data: Borrowed<'_, Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The table of functions for a driver.
pub(super) struct Table<T: Operations>(PhantomData<T>);

impl<T: Operations> Table<T> {
    /// The table.
    pub(super) const TABLE: &'static bindings::block_device_operations =
        &bindings::block_device_operations {
            submit_bio: Some(Self::submit_bio),
            open: Some(Self::open),
            release: Some(Self::release),
            ioctl: if T::HAS_IOCTL {
                Some(Self::ioctl)
            } else {
                None
            },
            #[cfg(CONFIG_COMPAT)]
            compat_ioctl: if T::HAS_IOCTL {
                Some(bindings::blkdev_compat_ptr_ioctl)
            } else {
                None
            },
            free_disk: Some(Self::free_disk),
            owner: compat::this_module(),
            ..pin_init::zeroed()
        };

    /// The kit's part of a disk, which lives until [`Self::free_disk`].
    ///
    /// # Safety
    ///
    /// `disk` must be a disk with this table, not freed during `'a`.
    #[inline(always)]
    pub(super) unsafe fn inner<'a>(disk: *mut bindings::gendisk) -> &'a Inner<T> {
        // SAFETY: `DiskBuilder` makes `private_data` of all disks with this table such a pointer,
        // before it adds them.
        unsafe { &*(*disk).private_data.cast::<Inner<T>>() }
    }

    /// # Safety
    ///
    /// Called by the block layer: `bio` is valid, for a disk with this table, and belongs to the
    /// callee.
    #[inline]
    unsafe extern "C" fn submit_bio(bio: *mut bindings::bio) {
        // SAFETY: By the function's contract.
        let bio = if T::COPIES && unsafe { is_small(bio) } {
            bio
        } else {
            // SAFETY: By the function's contract. What does not fit is submitted again; a null
            // pointer says that nothing is left for now. (The block layer does this by itself only
            // for drivers with a queue.)
            unsafe { bindings::bio_split_to_limits(bio) }
        };
        let Some(bio) = NonNull::new(bio) else {
            return;
        };
        // SAFETY: The device of a bio, its disk, and so the kit's part, stay while the bio is being
        // submitted.
        let inner = unsafe { Self::inner((*(*bio.as_ptr()).bi_bdev).bd_disk) };
        // SAFETY: It was handed to us, and we hand it on.
        let bio = unsafe { Bio::start(bio) };
        T::submit_bio(inner.data(), bio);
    }

    /// # Safety
    ///
    /// Called by the block layer, with a disk with this table.
    unsafe extern "C" fn open(disk: *mut bindings::gendisk, _: bindings::blk_mode_t) -> c_int {
        // SAFETY: A disk that is being opened has not been freed.
        let inner = unsafe { Self::inner(disk) };
        let Some(openers) = inner.use_count().opened() else {
            return ENXIO.to_errno();
        };
        if T::HAS_OPEN {
            if let Err(error) = T::open(inner.data(), openers) {
                inner.use_count().closed();
                return error.to_errno();
            }
        }
        0
    }

    /// # Safety
    ///
    /// Called by the block layer, once for each successful [`Self::open`].
    unsafe extern "C" fn release(disk: *mut bindings::gendisk) {
        // SAFETY: The file that is being closed still keeps the disk.
        let inner = unsafe { Self::inner(disk) };
        let openers = inner.use_count().closed();
        if T::HAS_RELEASE {
            T::release(inner.data(), openers);
        }
    }

    /// # Safety
    ///
    /// Called by the block layer, on an open device whose disk has this table.
    unsafe extern "C" fn ioctl(
        device: *mut bindings::block_device,
        _: bindings::blk_mode_t,
        command: c_uint,
        argument: c_ulong,
    ) -> c_int {
        // SAFETY: The open file keeps the device and its disk.
        let inner = unsafe { Self::inner((*device).bd_disk) };
        match T::ioctl(inner.data(), Call::new(command, argument)) {
            Ok(answer) => answer as c_int,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the block layer when nobody has a reference to the disk any more.
    unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
        // SAFETY: The disk was added, so `private_data` is what the builder made, and this is the
        // last use of it.
        unsafe { Inner::<T>::free((*disk).private_data.cast()) };
    }
}

/// Whether a bio reads or writes no more than a page: less, no disk may be limited to.
///
/// # Safety
///
/// `bio` must be valid.
#[inline(always)]
unsafe fn is_small(bio: *const bindings::bio) -> bool {
    // SAFETY: By the function's contract; copied, as the struct is packed.
    let (flags, size) = unsafe { ((*bio).bi_opf, (*bio).bi_iter.bi_size) };
    let op = flags & ((1 << bindings::REQ_OP_BITS) - 1);
    matches!(
        op,
        bindings::req_op_REQ_OP_READ | bindings::req_op_REQ_OP_WRITE
    ) && size <= bindings::PAGE_SIZE as u32
}

/// Adds a disk to the system, below a device if there is one.
///
/// # Safety
///
/// `disk` must be allocated, not added yet, and complete; its table be that of `T`; and `parent` be
/// null or a device that is in the system.
pub(super) unsafe fn add<T: Operations>(
    disk: *mut bindings::gendisk,
    parent: *mut bindings::device,
) -> Result {
    // SAFETY: The function's contract; the attributes are static.
    to_result(unsafe { bindings::device_add_disk(parent, disk, Attributes::<T>::groups()) })
}
