// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a disk counts, a set for each queue.

use crate::metrics::{Counter, Figure};

/// Of one queue, over all connections.
#[derive(Debug, Default)]
pub struct Counters {
    /// Reads carried out.
    pub reads: Counter,
    /// Bytes that they read.
    pub bytes_read: Counter,
    /// Writes carried out.
    pub writes: Counter,
    /// Bytes that they wrote.
    pub bytes_written: Counter,
    /// Flushes carried out.
    pub flushes: Counter,
    /// Discards carried out.
    pub discards: Counter,
    /// Writes of zeroes carried out.
    pub write_zeroes: Counter,
    /// Requests that made no sense, or not to this disk.
    pub refused: Counter,
    /// Requests that the host could not carry out.
    pub failed: Counter,
}

/// The sums over all queues.
pub fn figures<'c>(queues: impl Iterator<Item = &'c Counters> + Clone) -> Vec<Figure> {
    let sum = |name, of: fn(&Counters) -> &Counter| {
        Figure::new(name, queues.clone().map(|counters| of(counters).get()).sum())
    };
    vec![
        sum("blk.reads", |c| &c.reads),
        sum("blk.bytes_read", |c| &c.bytes_read),
        sum("blk.writes", |c| &c.writes),
        sum("blk.bytes_written", |c| &c.bytes_written),
        sum("blk.flushes", |c| &c.flushes),
        sum("blk.discards", |c| &c.discards),
        sum("blk.write_zeroes", |c| &c.write_zeroes),
        sum("blk.refused", |c| &c.refused),
        sum("blk.failed", |c| &c.failed),
    ]
}
