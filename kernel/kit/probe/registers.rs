// SPDX-License-Identifier: GPL-2.0

//! The registers on entry to a function, and the arguments in them.

use kernel::{bindings, types::Opaque};

/// The registers of the CPU where a probe was hit.
///
/// # Invariants
///
/// Valid for reads, and not changed while there is a reference.
#[repr(transparent)]
pub struct Registers(Opaque<bindings::pt_regs>);

impl Registers {
    /// # Safety
    ///
    /// `registers` must be valid, and stay as they are, for `'a`.
    pub(super) unsafe fn from_raw<'a>(registers: *mut bindings::pt_regs) -> &'a Self {
        // SAFETY: By the function's contract; `Self` is transparent.
        unsafe { &*registers.cast() }
    }

    /// The value of an argument in a call of a C function, counted from 0; nothing but the
    /// function's declaration says what it means.
    ///
    /// # Safety
    ///
    /// These must be the registers on entry to a function that has such an argument, and it must be
    /// an integer or a pointer.
    #[doc(alias = "regs_get_kernel_argument")]
    pub unsafe fn argument(&self, index: u32) -> usize {
        // SAFETY: By the type invariant; an argument that is not in a register is on the stack,
        // which by the function's contract it is the top of.
        unsafe { kit_bindings::regs_get_kernel_argument(self.0.get(), index) }
    }
}
