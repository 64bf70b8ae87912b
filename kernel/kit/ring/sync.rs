// SPDX-License-Identifier: GPL-2.0

//! What the algorithm needs, from the kernel. (The host's tests have one of their own.)

use core::cell::UnsafeCell;

use kernel::{
    alloc::KVVec,
    sync::atomic::{ordering, Atomic},
};

/// Memory for the slots.
pub(super) type Slots<T> = KVVec<T>;

/// A counter, or a slot's turn.
pub(super) struct Position(Atomic<usize>);

impl Position {
    pub(super) fn new(value: usize) -> Self {
        Self(Atomic::new(value))
    }

    pub(super) fn load(&self) -> usize {
        self.0.load(ordering::Relaxed)
    }

    pub(super) fn load_acquire(&self) -> usize {
        self.0.load(ordering::Acquire)
    }

    pub(super) fn store_release(&self, value: usize) {
        self.0.store(value, ordering::Release);
    }

    /// Adds one if the value is `from`; otherwise tells the value.
    pub(super) fn advance(&self, from: usize) -> Result<(), usize> {
        let to = from.wrapping_add(1);
        self.0.cmpxchg(from, to, ordering::Relaxed).map(drop)
    }
}

/// A value that is accessed by one context at a time, as the algorithm proves.
pub(super) struct Cell<T>(UnsafeCell<T>);

impl<T> Cell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(super) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
