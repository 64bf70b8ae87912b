// SPDX-License-Identifier: GPL-2.0

//! A ring of events that may be filled where nothing else may be done.
//!
//! A probe, an interrupt handler or an NMI cannot allocate, sleep, or take a lock that the code it
//! interrupted may hold. What it wants to tell, it writes into memory that is there already, and
//! somebody reads it later. If nobody reads fast enough the ring is full, and the event is lost;
//! that is counted, so that a reader knows what it has not seen.
//!
//! The algorithm, and why it is right, is in `queue`.

mod queue;
mod sync;

use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::atomic::{ordering, Atomic},
};

use self::queue::{Queue, Slot};

/// A ring of `T`s. Neither end ever waits, and both may be used from any context, NMI included.
pub struct Ring<T> {
    queue: Queue<T>,
    lost: Atomic<u64>,
}

impl<T: Default> Ring<T> {
    /// Allocates a ring. Fails with `EINVAL` unless `slots` is a power of two and at least 2, and
    /// with `ENOMEM`.
    pub fn new(slots: usize) -> Result<Self> {
        let mut memory = KVVec::with_capacity(slots, GFP_KERNEL)?;
        for at in 0..slots {
            memory.push(Slot::new(at, T::default()), GFP_KERNEL)?;
        }
        Ok(Self {
            queue: Queue::new(memory).ok_or(EINVAL)?,
            lost: Atomic::new(0),
        })
    }
}

impl<T> Ring<T> {
    /// Has `fill` overwrite a free slot, which still has the contents of an earlier event. False if
    /// there is none: that event is lost, and counted.
    pub fn push(&self, fill: impl FnOnce(&mut T)) -> bool {
        let done = self.queue.push(fill);
        if !done {
            self.lost.add(1, ordering::Relaxed);
        }
        done
    }

    /// Shows the oldest event to `look`, and frees its slot after that. `None` if there is none.
    ///
    /// While `look` runs the slot is in use; it should copy and return.
    pub fn pop<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.queue.pop(look)
    }

    /// Whether there is nothing to [`pop`](Self::pop).
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many events were lost since the ring was made.
    pub fn lost(&self) -> u64 {
        self.lost.load(ordering::Relaxed)
    }
}
