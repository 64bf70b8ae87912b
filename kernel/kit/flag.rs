// SPDX-License-Identifier: GPL-2.0

//! A boolean that a hot path reads at the cost of one load.
//!
//! `Atomic<bool>` of the `kernel` crate calls a C helper for each load, unless the kernel is built
//! with `CONFIG_RUST_INLINE_HELPERS`. A hot path that only wants a hint ("is anybody registered?")
//! can do with what C calls `READ_ONCE()`. It orders nothing: who sees the flag set takes the lock
//! and looks again.

use core::cell::UnsafeCell;

/// A flag that is read and written without ordering, by any number of contexts at a time.
pub struct Flag(UnsafeCell<bool>);

// SAFETY: All accesses are volatile and of one byte, which the kernel's memory model
// (`READ_ONCE()`, `WRITE_ONCE()`) defines to be marked accesses that neither tear nor race.
unsafe impl Sync for Flag {}

impl Flag {
    /// A new flag.
    pub const fn new(value: bool) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value that was stored last, or a little before that.
    #[inline(always)]
    #[doc(alias = "READ_ONCE")]
    pub fn get(&self) -> bool {
        // SAFETY: The pointer comes from a reference, so it is valid and aligned; see `Sync` above
        // for concurrent writes. Only `set()` writes, and only valid values.
        unsafe { self.0.get().read_volatile() }
    }

    /// Stores a value.
    #[inline(always)]
    #[doc(alias = "WRITE_ONCE")]
    pub fn set(&self, value: bool) {
        // SAFETY: As in `get()`.
        unsafe { self.0.get().write_volatile(value) }
    }
}
