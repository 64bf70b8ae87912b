// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the device counts.

use crate::metrics::{Counter, Figure};

/// The counters, over all connections.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that were answered.
    pub requests: Counter,
    /// Bytes that they got.
    pub bytes: Counter,
}

/// As figures.
pub fn figures(counters: &Counters) -> Vec<Figure> {
    vec![Figure::new("rng.requests", counters.requests.get()), Figure::new("rng.bytes", counters.bytes.get())]
}
