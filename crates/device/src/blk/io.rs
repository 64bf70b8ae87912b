// SPDX-License-Identifier: MIT OR Apache-2.0
//! What carries requests out: memory at once, a file while other requests go on.

pub mod file;
pub mod ram;
mod task;
mod uring;

use std::sync::Arc;

use super::device::State;
use super::metrics::Counters;
use super::request::{Limits, Status};
use crate::chain::{Chain, Writable};

/// How many failures of a queue are told in the log.
const TOLD: u64 = 10;

/// What every queue of a disk knows.
#[derive(Debug, Clone)]
pub struct Common {
    pub(super) limits: Limits,
    pub(super) serial: String,
    pub(super) state: Arc<State>,
    pub(super) queue: usize,
}

impl Common {
    fn counters(&self) -> &Counters {
        self.state.counters(self.queue)
    }

    /// A request that makes no sense, or not to this disk.
    fn refuse(&self, chain: &Chain<'_>, status: Status) -> Status {
        chain.note(|| format!("refuses it with {status:?}"));
        self.counters().refused.add(1);
        status
    }

    /// The host could not do it. The first few times are told: a guest may ask as often as it likes.
    fn failed(&self, what: &str, error: &std::io::Error) -> Status {
        let failed = &self.counters().failed;
        failed.add(1);
        if failed.get() <= TOLD {
            tracing::warn!("queue {}: {what}: {error}", self.queue);
        }
        if failed.get() == TOLD {
            tracing::warn!("queue {}: further failures are counted, and not told", self.queue);
        }
        Status::IoError
    }

    /// The serial, filled up with zeroes (5.2.6.1: "a string of up to 20 bytes, NUL-terminated if shorter").
    fn write_id(&self, mut data: Writable<'_>) {
        let mut id = [0; super::ID_BYTES];
        id[..self.serial.len()].copy_from_slice(self.serial.as_bytes());
        data.write(&id);
    }
}
