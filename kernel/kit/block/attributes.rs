// SPDX-License-Identifier: GPL-2.0

//! The attributes of a disk in sysfs.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use core::{fmt::Write, marker::PhantomData, mem::offset_of, ptr};

use kernel::{
    bindings, container_of,
    error::from_result,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::{as_char_ptr_in_const_context, Formatter},
};

use super::{
    disk::Inner,
    operations::{Operations, Table}, //
};

type Show = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::device_attribute,
    *mut c_char,
) -> isize;

/// `struct device_attribute`. (bindgen's has unions without a name, and more of them in later
/// kernels.)
#[repr(C)]
struct DeviceAttribute {
    attribute: bindings::attribute,
    show: Show,
    store: *const c_void,
}

/// `struct attribute_group`, likewise.
#[repr(C)]
struct Group {
    name: *const c_char,
    is_visible: *const c_void,
    is_bin_visible: *const c_void,
    bin_size: *const c_void,
    attributes: *const *const bindings::attribute,
    bin_attributes: *const c_void,
}

const _: () = {
    assert!(size_of::<DeviceAttribute>() == size_of::<bindings::device_attribute>());
    assert!(size_of::<Group>() == size_of::<bindings::attribute_group>());
    assert!(offset_of!(Group, bin_size) == offset_of!(bindings::attribute_group, bin_size));
    assert!(offset_of!(Group, bin_attributes) == offset_of!(bindings::attribute_group, bin_attrs));
};

/// The attributes of a driver's disks.
pub(super) struct Attributes<T: Operations>(PhantomData<T>);

impl<T: Operations> Attributes<T> {
    // (A kernel with lockdep has more fields in it.)
    #[allow(clippy::needless_update)]
    const SERIAL: &'static DeviceAttribute = &DeviceAttribute {
        attribute: bindings::attribute {
            name: as_char_ptr_in_const_context(c"serial"),
            mode: 0o444,
            ..pin_init::zeroed()
        },
        show: Self::show_serial,
        store: ptr::null(),
    };

    const LIST: &'static [*const bindings::attribute; 2] =
        &[&raw const Self::SERIAL.attribute, ptr::null()];

    const GROUP: &'static Group = &Group {
        name: ptr::null(),
        is_visible: ptr::null(),
        is_bin_visible: ptr::null(),
        bin_size: ptr::null(),
        attributes: Self::LIST.as_ptr(),
        bin_attributes: ptr::null(),
    };

    const GROUPS: &'static [*const Group; 2] = &[Self::GROUP, ptr::null()];

    /// What `device_add_disk()` takes: null if there are none.
    pub(super) fn groups() -> *mut *const bindings::attribute_group {
        if T::HAS_SERIAL {
            // Nobody writes there: it is the function's type that forgets a `const`.
            Self::GROUPS.as_ptr().cast_mut().cast()
        } else {
            ptr::null_mut()
        }
    }

    /// # Safety
    ///
    /// Called by sysfs, for a disk with the table of `T` that stays meanwhile; `page` is a page of
    /// this call's own.
    unsafe extern "C" fn show_serial(
        device: *mut bindings::device,
        _: *mut bindings::device_attribute,
        page: *mut c_char,
    ) -> isize {
        from_result(|| {
            // SAFETY: By the function's contract; a disk's device is that of its first part. What
            // is in the page is initialised: sysfs has cleared it.
            let (inner, page) = unsafe {
                let part = container_of!(device, bindings::block_device, bd_device);
                (
                    Table::<T>::inner((*part).bd_disk),
                    core::slice::from_raw_parts_mut(page.cast::<u8>(), PAGE_SIZE - 1),
                )
            };
            let mut page = Formatter::new(page);
            let serial = Serial(inner);
            page.write_fmt(fmt!("{serial}\n")).map_err(|_| EMSGSIZE)?;
            Ok(page.bytes_written() as isize)
        })
    }
}

/// A disk's serial number, as something to print.
struct Serial<'a, T: Operations>(&'a Inner<T>);

impl<T: Operations> fmt::Display for Serial<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::serial(self.0.data(), f)
    }
}
