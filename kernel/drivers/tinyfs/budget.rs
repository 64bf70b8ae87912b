// SPDX-License-Identifier: GPL-2.0

//! Something that there is a limited amount of.

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// An amount, of which parts are taken and given back, by several tasks at a time.
pub(crate) struct Budget {
    limit: u64,
    left: Atomic<u64>,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            left: Atomic::new(limit),
        }
    }

    /// Takes all of `amount`, or fails with `ENOSPC` and takes nothing.
    pub(crate) fn take(&self, amount: u64) -> Result {
        let mut left = self.left.load(Relaxed);
        loop {
            let rest = left.checked_sub(amount).ok_or(ENOSPC)?;
            match self.left.cmpxchg(left, rest, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => left = now,
            }
        }
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, amount: u64) {
        self.left.add(amount, Relaxed);
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }
}
