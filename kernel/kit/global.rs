// SPDX-License-Identifier: GPL-2.0

//! A value of the module as a whole, for callbacks that get nothing to find it by.
//!
//! The kernel calls some of a module's functions without anything of the module's: the constructor
//! of a device-mapper target gets a line of text. What such functions share is in a static
//! [`Global`], from when the module has set it until the module, being unloaded, drops the
//! [`Holder`]. Who gets the value keeps it, as an [`Arc`], for as long as it likes.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full},
        rcu, Arc, ArcBorrow,
    },
};

use crate::rcu_cell::wait_for_readers;

/// A place for a value of the module.
///
/// # Invariants
///
/// `value` is null, or from [`Arc::into_raw`], with a reference count that is the global's.
pub struct Global<T: Send + Sync + 'static> {
    value: Atomic<*mut T>,
}

// SAFETY: It is a place for an `Arc<T>`, which may be cloned and dropped by any task.
unsafe impl<T: Send + Sync + 'static> Sync for Global<T> {}

/// Holds the value of a [`Global`] in its place. Dropping it takes the value out, and may sleep.
pub struct Holder<T: Send + Sync + 'static>(&'static Global<T>);

impl<T: Send + Sync + 'static> Global<T> {
    /// An empty place.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: Null.
        Self {
            value: Atomic::new(core::ptr::null_mut()),
        }
    }

    /// Puts a value in. `EBUSY` if there is one.
    pub fn set(&'static self, value: Arc<T>) -> Result<Holder<T>> {
        let raw = Arc::into_raw(value).cast_mut();
        // INVARIANT: The reference count passes to the global if it is put in.
        match self.value.cmpxchg(core::ptr::null_mut(), raw, Full) {
            Ok(_) => Ok(Holder(self)),
            Err(_) => {
                // SAFETY: From `into_raw()` just now, and not put in.
                drop(unsafe { Arc::from_raw(raw) });
                Err(EBUSY)
            }
        }
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<Arc<T>> {
        let _guard = rcu::read_lock();
        // SAFETY: The pointer to the place is valid and aligned, as it comes from a reference; a
        // volatile read of a pointer does not tear.
        let raw = unsafe { self.value.as_ptr().read_volatile() };
        if raw.is_null() {
            return None;
        }
        // SAFETY: By the type invariant; the count that is the global's is not given up before the
        // RCU read lock, which was taken before the load, is.
        Some(unsafe { ArcBorrow::from_raw(raw) }.into())
    }
}

impl<T: Send + Sync + 'static> Drop for Holder<T> {
    fn drop(&mut self) {
        let raw = self.0.value.xchg(core::ptr::null_mut(), Full);
        // Those that have found it, but not yet counted themselves, do so first.
        wait_for_readers();
        // SAFETY: By the type invariant, and as there is one holder for a value that was put in, it
        // is not null.
        drop(unsafe { Arc::from_raw(raw) });
    }
}
