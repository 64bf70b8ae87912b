// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device as its driver sees it: one queue, no features, no configuration.

use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use super::metrics::{self, Counters};
use crate::chain::Chain;
use crate::device::{Answer, Device, Handler, Waker};
use crate::error::Result;
use crate::metrics::Figure;

/// The most bytes that a chain gets: "the device MAY use less than the entire buffer length" (5.4.6.2), and a queue
/// is not to be busy for as long as a driver likes.
const MOST: usize = 64 << 10;

/// The device.
#[derive(Debug)]
pub struct Rng {
    queue_size: u16,
    counters: Arc<Counters>,
}

impl Rng {
    /// A source of randomness.
    pub fn new(queue_size: u16) -> Self {
        Self { queue_size, counters: Arc::default() }
    }
}

impl Device for Rng {
    fn name(&self) -> &'static str {
        "rng"
    }

    fn id(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> usize {
        1
    }

    fn queue_size(&self) -> u16 {
        self.queue_size
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn open(self: Arc<Self>, _queue: usize, _waker: Waker) -> Result<Box<dyn Handler>> {
        Ok(Box::new(Requests { counters: self.counters.clone(), bytes: vec![0; MOST] }))
    }

    fn figures(&self) -> Vec<Figure> {
        metrics::figures(&self.counters)
    }
}

/// The one queue.
struct Requests {
    counters: Arc<Counters>,
    bytes: Vec<u8>,
}

impl Handler for Requests {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        // "The driver MUST NOT place driver-readable buffers into the queue" (5.4.6.1).
        if !chain.readable().is_empty() || chain.writable().is_empty() {
            return Answer::Broken("randomness takes room for bytes, and nothing else");
        }
        let bytes = &mut self.bytes[..chain.writable().len().min(MOST)];
        if let Err(error) = getrandom::fill(bytes) {
            tracing::error!("the host gives no randomness: {error}");
            return Answer::Broken("there is no randomness to give");
        }
        let written = chain.writable().write(bytes);
        // What the guest takes for a secret is not kept here.
        bytes.fill(0);
        self.counters.requests.add(1);
        self.counters.bytes.add(written as u64);
        chain.note(|| format!("{written} random bytes"));
        Answer::Done(written as u32)
    }
}
