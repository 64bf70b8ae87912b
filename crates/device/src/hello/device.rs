// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device as its driver sees it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use blockyard_abi::virtio_hello as abi;
use zerocopy::IntoBytes;

use super::Settings;
use super::io::{Events, StreamIn, StreamOut};
use super::metrics::{self, Counters};
use super::request::Echo;
use crate::bridge::{Bridge, Full, Side};
use crate::device::{Device, Handler, Waker};
use crate::error::Result;
use crate::metrics::Figure;

/// The device.
#[derive(Debug)]
pub struct Hello {
    settings: Settings,
    state: Arc<State>,
}

/// What the queues share.
#[derive(Debug)]
pub struct State {
    negotiated: AtomicU64,
    /// To the program of the host.
    pub bridge: Bridge,
    /// What was counted.
    pub counters: Counters,
}

impl State {
    /// Whether the driver has chosen this feature, by its number.
    pub fn has(&self, feature: u32) -> bool {
        self.negotiated.load(Relaxed) & 1 << feature != 0
    }
}

impl Hello {
    /// A device whose host's side is not open yet.
    pub fn new(settings: Settings) -> Result<Self> {
        let bridge = Bridge::new(settings.capacity, Full::Waits, abi::EVENTS_KEPT)?;
        let state = State { negotiated: AtomicU64::new(0), bridge, counters: Counters::default() };
        Ok(Self { settings, state: Arc::new(state) })
    }
}

impl Device for Hello {
    fn name(&self) -> &'static str {
        "hello"
    }

    fn id(&self) -> u32 {
        abi::DEVICE_ID
    }

    fn features(&self) -> u64 {
        self.settings.features
    }

    fn queues(&self) -> usize {
        abi::QUEUES.into()
    }

    fn queue_size(&self) -> u16 {
        self.settings.queue_size
    }

    fn config(&self) -> Vec<u8> {
        let config = abi::Config {
            version: abi::VERSION.into(),
            max_message: self.settings.max_message.into(),
            capacity: (self.settings.capacity as u64).into(),
            features: self.settings.features.into(),
        };
        config.as_bytes().to_vec()
    }

    fn negotiated(&self, features: u64) {
        self.state.negotiated.store(features & self.settings.features, Relaxed);
    }

    fn start(&self, socket: &Path) -> Result<()> {
        let beside = socket.with_extension("stream");
        self.state.bridge.open(self.settings.stream.as_deref().unwrap_or(&beside))
    }

    fn open(self: Arc<Self>, queue: usize, waker: Waker) -> Result<Box<dyn Handler>> {
        let state = self.state.clone();
        Ok(match u16::try_from(queue).unwrap_or(u16::MAX) {
            abi::QUEUE_STREAM_IN => {
                state.bridge.watch(Side::ToGuest, waker);
                Box::new(StreamIn { state })
            }
            abi::QUEUE_STREAM_OUT => {
                state.bridge.watch(Side::FromGuest, waker);
                Box::new(StreamOut { state, taken: 0 })
            }
            abi::QUEUE_EVENT => {
                state.bridge.watch(Side::Moments, waker);
                Box::new(Events { state })
            }
            _ => Box::new(Echo::new(state, self.settings.max_message)),
        })
    }

    fn figures(&self) -> Vec<Figure> {
        metrics::figures(&self.state.counters)
    }
}
