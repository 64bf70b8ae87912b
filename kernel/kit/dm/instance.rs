// SPDX-License-Identifier: GPL-2.0

//! A target's place in a table, and to whom it says what is wrong.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{fmt, prelude::*, str::CStrExt};
use kit_bindings as bindings;

use super::{log, sentence};

/// A target in a table: which sectors of the mapped device it has, and the state of that.
///
/// # Invariants
///
/// `ti` is valid as long as `'a`, with its table and type set.
#[derive(Clone, Copy)]
#[doc(alias = "dm_target")]
pub struct Instance<'a> {
    ti: NonNull<bindings::dm_target>,
    _ti: PhantomData<&'a bindings::dm_target>,
}

impl<'a> Instance<'a> {
    /// # Safety
    ///
    /// As the type's invariants say.
    #[inline(always)]
    pub(super) unsafe fn new(ti: NonNull<bindings::dm_target>) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            ti,
            _ti: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut bindings::dm_target {
        self.ti.as_ptr()
    }

    /// The sector of the mapped device that it begins at.
    #[inline]
    pub fn begin(self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).begin }
    }

    /// How many sectors it has.
    #[inline]
    pub fn len(self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).len }
    }

    /// Whether it has no sector, which the device mapper refuses.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The mapped device as `MAJOR:MINOR`.
    #[inline]
    pub fn device_name(self) -> &'a CStr {
        // SAFETY: By the type invariant there is a table, and a table has a device, whose name
        // stays as long.
        unsafe { CStr::from_char_ptr(bindings::dm_table_device_name((*self.as_ptr()).table)) }
    }

    /// Whether a suspend is under way that does not wait for I/O to be done, so that a bio may be
    /// requeued.
    #[inline]
    #[doc(alias = "dm_noflush_suspending")]
    pub fn is_noflush_suspending(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::dm_noflush_suspending(self.as_ptr()) != 0 }
    }

    /// Tells those who wait for an event of the device (`dmsetup wait`). May sleep.
    #[inline]
    #[doc(alias = "dm_table_event")]
    pub fn event(self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::dm_table_event((*self.as_ptr()).table) }
    }

    fn type_name(self) -> &'a CStr {
        // SAFETY: By the type invariant there is a type, whose name is static.
        unsafe { CStr::from_char_ptr((*(*self.as_ptr()).type_).name) }
    }

    /// Logs an error, with the names of the device and the target.
    #[inline]
    pub fn err(self, what: fmt::Arguments<'_>) {
        let (device, target) = (self.device_name(), self.type_name());
        log::err(fmt!("{device}: {target}: {what}\n"));
    }

    /// Logs at the level for debugging.
    #[inline]
    pub fn debug(self, what: fmt::Arguments<'_>) {
        let (device, target) = (self.device_name(), self.type_name());
        log::debug(fmt!("{device}: {target}: {what}\n"));
    }
}

/// How somebody is told what is wrong.
#[derive(Clone, Copy)]
pub(super) enum Complaint<'a> {
    /// A constructor says it through `ti->error`, and the device mapper prints it.
    Constructor(Instance<'a>),
    /// A message has no such way, so it goes to the log.
    Message {
        /// The mapped device.
        device: &'a CStr,
        /// The target's type.
        target: &'static CStr,
    },
}

impl Complaint<'_> {
    /// Says it; gives `error` back.
    pub(super) fn say(self, error: Error, sentence: fmt::Arguments<'_>) -> Error {
        match self {
            // SAFETY: The instance is valid, and its constructor, in which we are, may write this.
            Self::Constructor(ti) => unsafe {
                (*ti.as_ptr()).error = sentence::lasting(sentence);
            },
            Self::Message { device, target } => {
                log::err(fmt!("{device}: {target}: message: {sentence}\n"));
            }
        }
        error
    }
}
