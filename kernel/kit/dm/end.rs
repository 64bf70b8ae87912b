// SPDX-License-Identifier: GPL-2.0

//! A bio that has come back from below, or was completed by the target.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{bindings, prelude::*};
use kit_bindings as dm;

use super::{
    bio::{Brand, Held},
    Instance, Target,
};
use crate::block::Status;

/// What `end_io` decided on the bio that has the same lifetime, as [`Mapped`](super::Mapped) does
/// for `map`.
#[must_use = "the device mapper must be told"]
pub struct Ending<'a> {
    code: c_int,
    _brand: Brand<'a>,
}

impl Ending<'_> {
    fn new(code: u32) -> Self {
        Self {
            code: code as c_int,
            _brand: PhantomData,
        }
    }

    pub(super) fn code(self) -> c_int {
        self.code
    }
}

/// A bio that is over, and whose result may still be changed.
///
/// # Invariants
///
/// As for [`Held`], except that it is not to be completed. `status` is valid.
pub struct Ended<'a, T: Target> {
    bio: NonNull<bindings::bio>,
    ti: NonNull<dm::dm_target>,
    status: NonNull<bindings::blk_status_t>,
    _target: PhantomData<T>,
    _brand: Brand<'a>,
}

impl<'a, T: Target> Ended<'a, T> {
    /// # Safety
    ///
    /// The device mapper must have called `end_io` with these, for a target whose type is a
    /// [`TargetType<T>`](super::TargetType), and `'a` be the time of that call.
    pub(super) unsafe fn new(
        ti: NonNull<dm::dm_target>,
        bio: NonNull<bindings::bio>,
        status: NonNull<bindings::blk_status_t>,
    ) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            bio,
            ti,
            status,
            _target: PhantomData,
            _brand: PhantomData,
        }
    }

    /// The place in its table of the target that the bio was for.
    pub fn instance(&self) -> Instance<'_> {
        // SAFETY: By the type invariant.
        unsafe { Instance::new(self.ti) }
    }

    /// The error number that user space would get to see, positive; 0 for success.
    pub fn errno(&self) -> u32 {
        // SAFETY: By the type invariant; any number may be translated.
        unsafe { bindings::blk_status_to_errno(*self.status.as_ptr()) }.unsigned_abs()
    }

    /// Whether the bio moved data, or would have, to the device.
    #[doc(alias = "op_is_write")]
    pub fn is_write(&self) -> bool {
        // SAFETY: By the type invariant.
        let flags = unsafe { (*self.bio.as_ptr()).bi_opf };
        flags & 1 != 0
    }

    /// What the target keeps with the bio.
    pub fn data(&self) -> &T::PerBio {
        // SAFETY: By the type invariant.
        unsafe { Held::<T>::data_of(self.bio.as_ptr()).as_ref() }
    }

    /// As [`Self::data`], to change it.
    pub fn data_mut(&mut self) -> &mut T::PerBio {
        // SAFETY: By the type invariant, and nobody else has the bio.
        unsafe { Held::<T>::data_of(self.bio.as_ptr()).as_mut() }
    }

    /// Leaves the result as it is.
    #[doc(alias = "DM_ENDIO_DONE")]
    pub fn done(self) -> Ending<'a> {
        Ending::new(dm::DM_ENDIO_DONE)
    }

    /// Changes the result.
    pub fn complete(self, result: Result<(), Status>) -> Ending<'a> {
        let status = result.map_or_else(Status::raw, |()| 0);
        // SAFETY: By the type invariant.
        unsafe { *self.status.as_ptr() = status };
        self.done()
    }

    /// Lets the device mapper map it anew, as [`Bio::requeue`](super::Bio::requeue).
    #[doc(alias = "DM_ENDIO_REQUEUE")]
    pub fn requeue(self) -> Ending<'a> {
        Ending::new(dm::DM_ENDIO_REQUEUE)
    }
}
