// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the device counts, over all connections.

use crate::metrics::{Counter, Figure};

/// The counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes that the guest got.
    pub typed: Counter,
    /// Bytes that it printed.
    pub printed: Counter,
    /// Times that the file took nothing more.
    pub failed: Counter,
}

/// As figures, with the bytes that nobody has read.
pub fn figures(counters: &Counters, forgotten: u64) -> Vec<Figure> {
    vec![
        Figure::new("console.typed", counters.typed.get()),
        Figure::new("console.printed", counters.printed.get()),
        Figure::new("console.failed", counters.failed.get()),
        Figure::new("console.forgotten", forgotten),
    ]
}
