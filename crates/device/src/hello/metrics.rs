// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the device counts, over all connections. Each counter is of one queue, so one thread has it.

use crate::metrics::{Counter, Figure};

/// The counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// Echoes that were answered with [`STATUS_OK`](blockyard_abi::virtio_hello::STATUS_OK).
    pub echoes: Counter,
    /// Bytes of their payloads.
    pub echoed: Counter,
    /// Echoes that were refused.
    pub refused: Counter,
    /// Bytes that the guest got from the host.
    pub to_guest: Counter,
    /// Bytes that the guest gave to the host.
    pub from_guest: Counter,
    /// Events that were delivered.
    pub events: Counter,
}

/// As figures.
pub fn figures(counters: &Counters) -> Vec<Figure> {
    vec![
        Figure::new("hello.echoes", counters.echoes.get()),
        Figure::new("hello.echoed", counters.echoed.get()),
        Figure::new("hello.refused", counters.refused.get()),
        Figure::new("hello.to_guest", counters.to_guest.get()),
        Figure::new("hello.from_guest", counters.from_guest.get()),
        Figure::new("hello.events", counters.events.get()),
    ]
}
