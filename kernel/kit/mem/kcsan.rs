// SPDX-License-Identifier: GPL-2.0

//! What KCSAN, the kernel's detector of data races, is told of memory for data.
//!
//! Two requests for the same sectors may be under way, and what they leave is one or the other, byte
//! by byte: that is how disks are, and no finding. So the copying is a [`data_race()`], which KCSAN does
//! not look at. But the memory itself has two moments at which nobody but one may touch it: before
//! it is published, and when it is freed. A use at such a moment is a hole in the argument of the
//! [parent module](super), and would be seen in the data by luck alone. So copies are told as
//! marked accesses, which may race with each other, and at those two moments all of the memory as
//! written by plain stores, which may race with nothing. (With `CONFIG_KCSAN_WEAK_MEMORY`, stores are
//! also held back until a barrier: it is found, too, if publishing does not have one.)
//!
//! In a kernel without KCSAN all of this is nothing.
//!
//! C header: [`include/linux/kcsan-checks.h`](srctree/include/linux/kcsan-checks.h)

use core::ffi::c_uint;

/// Does what writes `len` bytes at `to`, or reads as many at `from`, or both, while others may be
/// writing them. (What else it uses, as memory of a bio, is for its owners to tell of.) KCSAN is
/// told at its beginning and at its end, in case they are given away in between.
///
/// # Safety
///
/// Both ranges must be valid for `len` bytes.
#[inline(always)]
pub(super) unsafe fn shared(
    to: Option<*mut u8>,
    from: Option<*const u8>,
    len: usize,
    access: impl FnOnce(),
) {
    let tell = || {
        if let Some(from) = from {
            // SAFETY: The function's contract.
            unsafe { check(from, len, kit_bindings::KCSAN_ACCESS_ATOMIC) };
        }
        if let Some(to) = to {
            let write = kit_bindings::KCSAN_ACCESS_ATOMIC | kit_bindings::KCSAN_ACCESS_WRITE;
            // SAFETY: The function's contract.
            unsafe { check(to, len, write) };
        }
    };
    tell();
    data_race(access);
    tell();
}

/// Nobody but the caller uses these bytes.
///
/// # Safety
///
/// They must be valid.
#[inline(always)]
pub(super) unsafe fn owned(memory: *const u8, len: usize) {
    // KCSAN waits for others at one access in thousands, whichever that is. These are few, and
    // worth more.
    const TIMES: usize = 64;
    if cfg!(CONFIG_KCSAN) {
        for _ in 0..TIMES {
            // SAFETY: The function's contract.
            unsafe { check(memory, len, kit_bindings::KCSAN_ACCESS_WRITE) };
        }
    }
}

/// Does what is a data race, and meant to be one. (In C, this is the macro of that name.)
#[inline(always)]
fn data_race(access: impl FnOnce()) {
    #[cfg(CONFIG_KCSAN)]
    // SAFETY: Has no precondition; what is disabled here is enabled below.
    unsafe {
        kit_bindings::kcsan_disable_current()
    };
    access();
    #[cfg(CONFIG_KCSAN)]
    // SAFETY: It was disabled above.
    unsafe {
        kit_bindings::kcsan_enable_current()
    };
}

/// Tells KCSAN of an access, as the instrumentation of a compiler does.
///
/// # Safety
///
/// The range must be valid: where KCSAN waits for others, it also looks whether the bytes change.
// Part of its caller, and so down to who publishes: a store is held back no longer than until the
// function that has made it returns.
#[cfg(CONFIG_KCSAN)]
#[inline(always)]
unsafe fn check(mut start: *const u8, mut len: usize, kind: c_uint) {
    // Watchpoints are kept by page.
    const PAGE: usize = kernel::bindings::PAGE_SIZE;
    while len != 0 {
        let n = len.min(PAGE - start.addr() % PAGE);
        // SAFETY: The bytes are valid by the function's contract, and it does not write them,
        // whatever the kind says, which is a combination of the header's flags.
        unsafe { kit_bindings::__kcsan_check_access(start.cast(), n, kind as core::ffi::c_int) };
        start = start.wrapping_add(n);
        len -= n;
    }
}

/// Nobody to tell.
///
/// # Safety
///
/// As above.
#[cfg(not(CONFIG_KCSAN))]
#[inline(always)]
unsafe fn check(_: *const u8, _: usize, _: c_uint) {}
