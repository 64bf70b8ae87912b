// SPDX-License-Identifier: GPL-2.0

//! Making a disk.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use core::{fmt::Write, ptr::NonNull};

use kernel::{
    bindings, device, error::from_err_ptr, fmt, prelude::*, static_lock_class,
    str::NullTerminatedFormatter,
};

use super::{
    disk::Inner,
    operations::{add, Table},
    Disk, Limits, Major, Operations,
};

/// Describes a disk, and adds it to the system.
#[derive(Clone, Copy)]
pub struct DiskBuilder {
    limits: Limits,
    capacity: u64,
    first_minor: u32,
    minors: u32,
    read_only: bool,
}

impl DiskBuilder {
    /// A disk of `capacity` sectors of 512 bytes.
    pub fn new(capacity: u64, limits: Limits) -> Self {
        Self {
            limits,
            capacity,
            first_minor: 0,
            minors: 1,
            read_only: false,
        }
    }

    /// Its minors: the disk itself has the first, partitions the others. Further partitions get
    /// minors of the block layer's.
    pub fn minors(mut self, first: u32, count: u32) -> Self {
        (self.first_minor, self.minors) = (first, count);
        self
    }

    /// Whether writing is refused.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Adds the disk, as `/dev/NAME`. It may be opened, and gets bios, before this returns.
    ///
    /// `EINVAL` for block sizes that make no sense or a name of 32 bytes or more, `EBUSY` if the
    /// minors are taken, `ENOMEM`.
    pub fn build<T: Operations>(
        self,
        name: fmt::Arguments<'_>,
        major: &Major,
        data: T::Data,
    ) -> Result<Disk<T>> {
        // SAFETY: There is no parent.
        unsafe { self.build_below_raw(core::ptr::null_mut(), name, major, data) }
    }

    /// As [`Self::build`], for a disk that is a device's.
    ///
    /// The disk should go before the device does, or sysfs shows it somewhere else.
    pub fn build_below<T: Operations>(
        self,
        parent: &device::Device<device::Bound>,
        name: fmt::Arguments<'_>,
        major: &Major,
        data: T::Data,
    ) -> Result<Disk<T>> {
        let parent: &device::Device = parent;
        // SAFETY: A `Device` is a `struct device` and nothing else, and it is in the system while
        // it is bound, which it is during this call. From then on the disk has a reference to it.
        unsafe {
            let parent = core::ptr::from_ref(parent).cast_mut().cast();
            self.build_below_raw(parent, name, major, data)
        }
    }

    /// # Safety
    ///
    /// `parent` must be null, or a device that is in the system.
    unsafe fn build_below_raw<T: Operations>(
        self,
        parent: *mut bindings::device,
        name: fmt::Arguments<'_>,
        major: &Major,
        data: T::Data,
    ) -> Result<Disk<T>> {
        let mut limits = self.limits.to_raw()?;
        let inner = Inner::<T>::new(data, major.new_disk())?;
        match self
            .prepare(&mut limits, name, major, inner)
            // SAFETY: By the function's contract, and as `prepare()` made it.
            .and_then(|disk| unsafe { added::<T>(disk, parent) })
        {
            // SAFETY: Added, with this `inner`, and the reference is ours.
            Ok(disk) => Ok(unsafe { Disk::new(disk, inner) }),
            Err(error) => {
                // SAFETY: Nobody else knows it: the disk was not added.
                unsafe { Inner::<T>::free(inner.as_ptr()) };
                Err(error)
            }
        }
    }

    /// Allocates the disk and fills it in.
    fn prepare<T: Operations>(
        self,
        limits: &mut bindings::queue_limits,
        name: fmt::Arguments<'_>,
        major: &Major,
        inner: NonNull<Inner<T>>,
    ) -> Result<NonNull<bindings::gendisk>> {
        // SAFETY: `limits` is valid, and the lock class static.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_alloc_disk(
                limits,
                bindings::NUMA_NO_NODE,
                static_lock_class!().as_ptr(),
            )
        })?;
        // SAFETY: Just allocated, and nobody else knows it.
        let fields = unsafe { &mut *disk };
        fields.major = major.number() as c_int;
        fields.first_minor = self.first_minor as c_int;
        fields.minors = self.minors as c_int;
        fields.fops = Table::<T>::TABLE;
        fields.private_data = inner.as_ptr().cast();
        let named = write_name(&mut fields.disk_name, name);
        // SAFETY: As above.
        unsafe {
            bindings::set_capacity(disk, self.capacity);
            bindings::set_disk_ro(disk, self.read_only);
        }
        if let Err(error) = named {
            // SAFETY: The reference is ours, and the disk was not added.
            unsafe { bindings::put_disk(disk) };
            return Err(error);
        }
        NonNull::new(disk).ok_or(ENOMEM)
    }
}

/// Adds a disk that [`DiskBuilder::prepare`] made; if that fails, gives it up.
///
/// # Safety
///
/// It must be made for `T`, and `parent` be null or a device that is in the system.
unsafe fn added<T: Operations>(
    disk: NonNull<bindings::gendisk>,
    parent: *mut bindings::device,
) -> Result<NonNull<bindings::gendisk>> {
    // SAFETY: Allocated and complete, and not added yet; and by the function's contract.
    match unsafe { add::<T>(disk.as_ptr(), parent) } {
        Ok(()) => Ok(disk),
        Err(error) => {
            // SAFETY: The reference of allocating it is ours. As it was not added, `free_disk` is
            // not called.
            unsafe { bindings::put_disk(disk.as_ptr()) };
            Err(error)
        }
    }
}

/// Writes a name with its terminating zero; `EINVAL` if it is too long.
fn write_name(to: &mut [c_char], name: fmt::Arguments<'_>) -> Result {
    let mut writer = NullTerminatedFormatter::new(to).ok_or(EINVAL)?;
    writer.write_fmt(name).map_err(|_| EINVAL)
}
