// SPDX-License-Identifier: GPL-2.0

//! Bytes that others may be changing meanwhile.
//!
//! The pages of a bio may be mapped by user space (`O_DIRECT`), which can write to them at any
//! time, and two writes to one sector may be under way. In Rust's own terms that is a data race; so
//! no reference is made to such bytes, and the copying is done by the kernel's functions, to which
//! they are bytes.

use kernel::bindings;

use super::{copying, kcsan};

/// Copies into memory for data, from a bio.
///
/// # Safety
///
/// Both ranges must be valid for `len` bytes, and not overlap.
#[inline(always)]
pub(crate) unsafe fn copy_in(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: The function's contract.
    let copy = || unsafe { copying::copy(to, from, len) };
    // SAFETY: As above.
    unsafe { kcsan::shared(Some(to), None, len, copy) };
}

/// Copies out of memory for data, to a bio.
///
/// # Safety
///
/// As for [`copy_in()`].
#[inline(always)]
pub(crate) unsafe fn copy_out(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: The function's contract.
    let copy = || unsafe { copying::copy(to, from, len) };
    // SAFETY: As above.
    unsafe { kcsan::shared(None, Some(from), len, copy) };
}

/// Copies from memory for data to other such memory.
///
/// # Safety
///
/// As for [`copy_in()`].
#[inline(always)]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: The function's contract.
    let copy = || unsafe { copying::copy(to, from, len) };
    // SAFETY: As above.
    unsafe { kcsan::shared(Some(to), Some(from), len, copy) };
}

/// Zeroes memory for data.
///
/// # Safety
///
/// The range must be valid for `len` bytes.
#[inline(always)]
pub(crate) unsafe fn zero(to: *mut u8, len: usize) {
    // SAFETY: The function's contract.
    let zero = || unsafe {
        bindings::memset(to.cast(), 0, len);
    };
    // SAFETY: As above.
    unsafe { kcsan::shared(Some(to), None, len, zero) };
}

/// Zeroes memory of a bio.
///
/// # Safety
///
/// As for [`zero()`].
#[inline(always)]
pub(crate) unsafe fn zero_out(to: *mut u8, len: usize) {
    // SAFETY: The function's contract.
    let zero = || unsafe {
        bindings::memset(to.cast(), 0, len);
    };
    // SAFETY: As above.
    unsafe { kcsan::shared(None, None, len, zero) };
}
