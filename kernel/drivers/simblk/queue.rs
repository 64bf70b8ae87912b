// SPDX-License-Identifier: GPL-2.0

//! The queue of requests that wait for a user program, and whose answers count.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    time::{Instant, Monotonic},
};
use kit::{
    block::{Bio, Op},
    errno::ESTALE,
};

/// What names a registration; never 0, never used twice on one disk.
pub(crate) type Token = u64;

/// A bio that waits for an answer.
pub(crate) struct Held {
    pub(crate) bio: Bio,
    pub(crate) op: Op,
    since: Instant<Monotonic>,
}

impl Held {
    /// A bio that begins to wait now.
    pub(crate) fn new(bio: Bio, op: Op) -> Self {
        Self {
            bio,
            op,
            since: Instant::now(),
        }
    }

    /// How long it has waited, in milliseconds.
    pub(crate) fn waited_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(0)
    }
}

/// The requests by id, and the registration in force.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) owner: Option<Token>,
    /// The disk is about to go, or gone.
    pub(crate) dying: bool,
    /// How many are in `held`.
    pub(crate) count: u32,
    held: RBTree<u64, Held>,
    last_token: Token,
    last_id: u64,
}

/// Memory for a request in the queue.
pub(crate) type Place = RBTreeNodeReservation<u64, Held>;

/// All requests of a queue.
pub(crate) type AllHeld = RBTree<u64, Held>;

impl Queue {
    /// Begins a registration.
    pub(crate) fn begin(&mut self) -> Token {
        self.last_token += 1;
        self.owner = Some(self.last_token);
        self.last_token
    }

    /// Puts a request in, with an id of its own.
    pub(crate) fn insert(&mut self, place: Place, held: Held) {
        self.last_id += 1;
        self.count += 1;
        self.held.insert(place.into_node(self.last_id, held));
    }

    /// A request that is held.
    pub(crate) fn get(&self, id: u64) -> Result<&Held> {
        self.held.get(&id).ok_or(ESTALE)
    }

    /// Takes a request out.
    pub(crate) fn remove(&mut self, id: u64) -> Result<Held> {
        let held = self.held.remove(&id).ok_or(ESTALE)?;
        self.count -= 1;
        Ok(held)
    }

    /// Fails unless this registration is the one in force.
    pub(crate) fn check(&self, token: Token) -> Result {
        match self.owner {
            Some(owner) if owner == token => Ok(()),
            _ if self.dying => Err(ENODEV),
            _ => Err(ESTALE),
        }
    }

    /// Ends the registration; all that is held is the caller's now.
    pub(crate) fn end(&mut self) -> AllHeld {
        self.owner = None;
        self.count = 0;
        core::mem::take(&mut self.held)
    }

    /// The oldest request with at least this id.
    pub(crate) fn next(&self, id: u64) -> Option<(u64, &Held)> {
        let cursor = self.held.cursor_lower_bound(&id)?;
        let (&id, _) = cursor.current();
        self.held.get(&id).map(|held| (id, held))
    }
}

/// Takes the oldest request out.
pub(crate) fn pop(held: &mut AllHeld) -> Option<Held> {
    let (_, node) = held.cursor_front_mut()?.remove_current();
    Some(node.to_key_value().1)
}
