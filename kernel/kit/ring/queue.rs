// SPDX-License-Identifier: GPL-2.0

//! The ring's algorithm: a bounded queue for many producers and many consumers, none of which ever
//! waits for another.
//!
//! It knows nothing of the kernel. What it needs comes from `super::sync`, so that the same file is
//! compiled into the kit and, on the host, into tests that try every interleaving.
//!
//! # How it works
//!
//! Positions count up for ever (and wrap); position `p` is in slot `p % N`. Each slot has a turn,
//! which says for which position it is ready:
//!
//! | turn | the slot is |
//! |---|---|
//! | `p` | free, for the producer that takes position `p` |
//! | `p + 1` | filled, for the consumer that takes position `p` |
//! | `p + N` | free again, for the producer of the next round |
//!
//! Who moves `tail` (or `head`) from `p` to `p + 1` has the slot for itself until it sets the next
//! turn. A producer that is interrupted in between, by another producer too, holds up consumers at
//! its slot and nobody else; when the ring has gone round, others find it full.
//!
//! # Ordering
//!
//! - Setting a turn releases, reading one acquires: the contents that a producer wrote are seen by
//!   the consumer that finds `p + 1`, and a consumer has finished reading when a producer finds
//!   `p + N`.
//! - Moving `tail` and `head` orders nothing: it only decides who gets a position. It fails if
//!   anybody got that position since the turn was read, because positions do not come twice before
//!   the counters wrap; so a stale turn is never acted upon.

use super::sync::{Cell, Position, Slots};

/// A place in the ring.
pub(super) struct Slot<T> {
    turn: Position,
    contents: Cell<T>,
}

impl<T> Slot<T> {
    /// The slot for position `at` of the first round.
    pub(super) fn new(at: usize, contents: T) -> Self {
        Self {
            turn: Position::new(at),
            contents: Cell::new(contents),
        }
    }
}

/// The ring.
///
/// # Invariants
///
/// - `slots` has a power of two of slots, at least two.
/// - Only who moved `tail` from `p` to `p + 1`, while slot `p % N` had the turn `p`, or `head`
///   likewise with the turn `p + 1`, accesses that slot's contents and sets its turn, once, after
///   the last access.
pub(super) struct Queue<T> {
    slots: Slots<Slot<T>>,
    tail: Position,
    head: Position,
}

// SAFETY: By the type invariants the contents are accessed by one context at a time, and handed
// from one to the next by a release and an acquire of the slot's turn; so `&Queue` only moves `T`s.
unsafe impl<T: Send> Sync for Queue<T> {}
// SAFETY: The queue owns its contents.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Queue<T> {
    /// A queue of these slots, made by [`Slot::new`] with positions from 0, all free; `None` if
    /// their number is no power of two, or one.
    pub(super) fn new(slots: Slots<Slot<T>>) -> Option<Self> {
        // INVARIANT: Just checked. Nobody has moved anything.
        (slots.len().is_power_of_two() && slots.len() > 1).then(|| Self {
            slots,
            tail: Position::new(0),
            head: Position::new(0),
        })
    }

    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position & (self.slots.len() - 1)]
    }

    /// Takes the next position of `counter` whose slot has the turn `position + ready`.
    ///
    /// `None` if that slot is not ready yet: the ring is full, or empty.
    fn take(&self, counter: &Position, ready: usize) -> Option<usize> {
        let mut position = counter.load();
        loop {
            let turn = self.slot(position).turn.load_acquire();
            let ahead = turn.wrapping_sub(position.wrapping_add(ready)) as isize;
            if ahead < 0 {
                return None;
            }
            position = if ahead > 0 {
                // Others were faster.
                counter.load()
            } else {
                match counter.advance(position) {
                    Ok(()) => return Some(position),
                    Err(now) => now,
                }
            };
        }
    }

    /// Fills the next free slot; false if there is none, and then `fill` was not called.
    pub(super) fn push(&self, fill: impl FnOnce(&mut T)) -> bool {
        let Some(position) = self.take(&self.tail, 0) else {
            return false;
        };
        let slot = self.slot(position);
        // SAFETY: `take()` moved `tail` when the slot's turn was `position`, so by the type
        // invariants nobody else accesses the contents until the turn is set, below.
        slot.contents
            .with_mut(|contents| fill(unsafe { &mut *contents }));
        slot.turn.store_release(position.wrapping_add(1));
        true
    }

    /// Looks at what is in the oldest filled slot and frees it; `None` if there is none, or if its
    /// producer is not done yet.
    pub(super) fn pop<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let position = self.take(&self.head, 1)?;
        let slot = self.slot(position);
        // SAFETY: `take()` moved `head` when the slot's turn was `position + 1`, so by the type
        // invariants nobody else accesses the contents until the turn is set, below.
        let looked = slot
            .contents
            .with_mut(|contents| look(unsafe { &*contents }));
        slot.turn
            .store_release(position.wrapping_add(self.slots.len()));
        Some(looked)
    }

    /// Whether [`Self::pop`] would find nothing.
    pub(super) fn is_empty(&self) -> bool {
        let position = self.head.load();
        self.slot(position).turn.load_acquire() != position.wrapping_add(1)
    }
}
