// SPDX-License-Identifier: GPL-2.0

//! The number of a device.

use kernel::{bindings, error::to_result, prelude::*};

use super::release;

/// The number of a character device, kept from others until dropped.
///
/// # Invariants
///
/// Registered for this value alone.
pub struct Number(bindings::dev_t);

impl Number {
    /// Minor 0 of a major that is free. `EBUSY` if none is.
    ///
    /// The name is for `/proc/devices`, which shows at most 63 bytes of it.
    #[doc(alias = "alloc_chrdev_region")]
    pub fn dynamic(name: &CStr) -> Result<Self> {
        let mut number = 0;
        // SAFETY: `number` is there to be written; the name is a string, and copied.
        to_result(unsafe { bindings::alloc_chrdev_region(&mut number, 0, 1, name.as_char_ptr()) })?;
        // INVARIANT: Just registered.
        Ok(Self(number))
    }

    /// This number. `EBUSY` if it is taken, `EINVAL` if there is none such (a major is at most 511,
    /// a minor less than 2^20).
    #[doc(alias = "register_chrdev_region")]
    pub fn fixed(major: u32, minor: u32, name: &CStr) -> Result<Self> {
        // Major 0 would ask for any.
        if major == 0 || major > u32::MAX >> bindings::MINORBITS || minor > bindings::MINORMASK {
            return Err(EINVAL);
        }
        let number = major << bindings::MINORBITS | minor;
        // SAFETY: The name is a string, and copied.
        to_result(unsafe { bindings::register_chrdev_region(number, 1, name.as_char_ptr()) })?;
        // INVARIANT: Just registered.
        Ok(Self(number))
    }

    /// The major number.
    #[doc(alias = "MAJOR")]
    pub fn major(&self) -> u32 {
        self.0 >> bindings::MINORBITS
    }

    /// The minor number.
    #[doc(alias = "MINOR")]
    pub fn minor(&self) -> u32 {
        self.0 & bindings::MINORMASK
    }

    pub(super) fn as_raw(&self) -> bindings::dev_t {
        self.0
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::unregister_chrdev_region(self.0, 1) };
        release::wait();
    }
}
