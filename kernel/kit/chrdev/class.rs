// SPDX-License-Identifier: GPL-2.0

//! The class of a device.

use core::ptr::NonNull;

use kernel::{bindings, error::from_err_ptr, prelude::*, sync::Arc};

use super::release;

/// A folder in `/sys/class`, which its devices keep.
///
/// # Invariants
///
/// What `class_create()` made, not destroyed yet.
pub struct Class(NonNull<bindings::class>);

// SAFETY: The driver core locks; any task may add devices to a class, and destroy it.
unsafe impl Send for Class {}
// SAFETY: As above.
unsafe impl Sync for Class {}

impl Class {
    /// Makes a class. `EEXIST` if there is one with that name.
    #[doc(alias = "class_create")]
    pub fn new(name: &'static CStr) -> Result<Arc<Self>> {
        // SAFETY: The name is a string that stays.
        let class = from_err_ptr(unsafe { bindings::class_create(name.as_char_ptr()) })?;
        // INVARIANT: Just made.
        let class = Self(NonNull::new(class).ok_or(ENOMEM)?);
        Ok(Arc::new(class, GFP_KERNEL)?)
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::class {
        self.0.as_ptr()
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; its devices have gone, for each holds a reference.
        unsafe { bindings::class_destroy(self.as_ptr()) };
        release::wait();
    }
}
