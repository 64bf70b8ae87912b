// SPDX-License-Identifier: GPL-2.0

//! A type of target, known to the device mapper.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::{cell::UnsafeCell, marker::PhantomData};

use crate::compat;
use kernel::{error::to_result, prelude::*, str::as_char_ptr_in_const_context};
use kit_bindings as bindings;

use super::{callbacks::Callbacks, Held, Target};

/// A type of target. It is a `static`, since tables may point to it as long as the module is there.
///
/// # Invariants
///
/// The device mapper alone changes `raw`, under a lock of its own.
pub struct TargetType<T: Target> {
    raw: UnsafeCell<bindings::target_type>,
    _target: PhantomData<fn() -> T>,
}

// SAFETY: By the type invariant; here only its address is used.
unsafe impl<T: Target> Sync for TargetType<T> {}

/// A callback if the target has it.
macro_rules! optional {
    ($has:expr, $callback:expr) => {
        if $has {
            Some($callback)
        } else {
            None
        }
    };
}

impl<T: Target> TargetType<T> {
    /// The type for a target.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        let needs_end = T::HAS_END_IO || core::mem::needs_drop::<T::PerBio>();
        let raw = bindings::target_type {
            features: T::FEATURES.raw(),
            name: as_char_ptr_in_const_context(T::NAME),
            module: compat::this_module(),
            version: T::VERSION,
            ctr: Some(Callbacks::<T>::ctr),
            dtr: Some(Callbacks::<T>::dtr),
            map: Some(Callbacks::<T>::map),
            end_io: optional!(needs_end, Callbacks::<T>::end_io),
            presuspend: optional!(T::HAS_PRESUSPEND, Callbacks::<T>::presuspend),
            presuspend_undo: optional!(T::HAS_PRESUSPEND_UNDO, Callbacks::<T>::presuspend_undo),
            postsuspend: optional!(T::HAS_POSTSUSPEND, Callbacks::<T>::postsuspend),
            preresume: optional!(T::HAS_PRERESUME, Callbacks::<T>::preresume),
            resume: optional!(T::HAS_RESUME, Callbacks::<T>::resume),
            status: Some(Callbacks::<T>::status),
            message: optional!(T::HAS_MESSAGE, Callbacks::<T>::message),
            prepare_ioctl: optional!(T::HAS_PREPARE_IOCTL, Callbacks::<T>::prepare_ioctl),
            iterate_devices: optional!(T::HAS_ITERATE_DEVICES, Callbacks::<T>::iterate_devices),
            io_hints: optional!(T::HAS_IO_HINTS, Callbacks::<T>::io_hints),
            ..pin_init::zeroed()
        };
        Self {
            raw: UnsafeCell::new(raw),
            _target: PhantomData,
        }
    }

    /// Makes the type known, until the value that comes back is dropped: tables may then have such
    /// targets. A module does this last when it is loaded, as from then on it is used.
    ///
    /// `EEXIST` if there is a type of that name.
    #[doc(alias = "dm_register_target")]
    pub fn register(&'static self) -> Result<Registration<T>> {
        // SAFETY: The type is static and complete. Its functions are the module's, which tables
        // pin by `module`.
        to_result(unsafe { bindings::dm_register_target(self.raw.get()) })?;
        // INVARIANT: It was registered.
        Ok(Registration { target_type: self })
    }
}

/// A type of target that is known to the device mapper until this is dropped.
///
/// # Invariants
///
/// `target_type` is registered, and this the only value for it: a second registration fails.
pub struct Registration<T: Target> {
    target_type: &'static TargetType<T>,
}

impl<T: Target> Drop for Registration<T> {
    #[doc(alias = "dm_unregister_target")]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Tables that have such targets keep the module and with it
        // the type; nothing is left to them but to go.
        unsafe { bindings::dm_unregister_target(self.target_type.raw.get()) };
    }
}

impl<T: Target> TargetType<T> {
    /// What `ti->per_io_data_size` is.
    pub(super) const PER_BIO_SIZE: u32 = Held::<T>::DATA_SIZE as u32;
}
