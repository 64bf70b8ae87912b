// SPDX-License-Identifier: MIT OR Apache-2.0
//! Randomness: virtio-rng (virtio 1.2, section 5.4), driven by Linux's own `virtio_rng`, which makes it `/dev/hwrng`.
//!
//! The bytes are those of the host's kernel, as a program of the host would get them.

pub mod device;
pub mod metrics;

use std::sync::Arc;

pub use self::device::Rng;
use crate::error::Result;
use crate::spec::{OptionHelp, Options, Plan, SpecError, Type};

/// The type `rng`.
pub const TYPE: Type = Type {
    name: "rng",
    summary: "randomness from the host (virtio-rng)",
    options: &[OptionHelp { name: "queue-size", value: "N", summary: "entries of the queue (64)" }],
    parse,
};

/// A source of randomness to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Entries of the queue.
    pub queue_size: u16,
}

fn parse(options: &mut Options) -> Result<Arc<dyn Plan>, SpecError> {
    let queue_size = options.power_of_two("queue-size", 4..=1024)?.unwrap_or(64) as u16;
    Ok(Arc::new(Settings { queue_size }))
}

impl Plan for Settings {
    fn make(&self) -> Result<Arc<dyn crate::Device>> {
        Ok(Arc::new(Rng::new(self.queue_size)))
    }
}
