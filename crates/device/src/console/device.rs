// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device as its driver sees it: a queue each way, no other ports.

use std::path::Path;
use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes};

use super::io::{End, FromGuest, ToGuest};
use super::metrics::{self, Counters};
use super::{FarEnd, Settings};
use crate::bridge::Side;
use crate::device::{Device, Handler, Waker};
use crate::error::Result;
use crate::metrics::Figure;

/// `VIRTIO_CONSOLE_F_SIZE`: the configuration has columns and rows.
const F_SIZE: u32 = 0;
/// The queue to the guest; the other one is the queue from it.
const RECEIVE: usize = 0;

/// `struct virtio_console_config` (5.3.4).
#[repr(C)]
#[derive(Debug, Clone, Copy, IntoBytes, Immutable)]
struct Config {
    columns: U16,
    rows: U16,
    ports: U32,
    emergency: U32,
}

/// The device.
#[derive(Debug)]
pub struct Console {
    settings: Settings,
    state: Arc<State>,
}

/// What the queues share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) end: End,
    pub(super) counters: Counters,
}

impl Console {
    /// A console whose other end is not open yet; its file is.
    pub fn new(settings: Settings) -> Result<Self> {
        let state = State { end: End::new(&settings.far_end)?, counters: Counters::default() };
        Ok(Self { settings, state: Arc::new(state) })
    }
}

impl Device for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn id(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn features(&self) -> u64 {
        self.settings.size.map_or(0, |_| 1 << F_SIZE)
    }

    fn queues(&self) -> usize {
        2
    }

    fn queue_size(&self) -> u16 {
        self.settings.queue_size
    }

    fn config(&self) -> Vec<u8> {
        let (columns, rows) = self.settings.size.unwrap_or_default();
        let config =
            Config { columns: columns.into(), rows: rows.into(), ports: 1.into(), emergency: 0.into() };
        config.as_bytes().to_vec()
    }

    fn start(&self, socket: &Path) -> Result<()> {
        let FarEnd::Socket(path) = &self.settings.far_end else { return Ok(()) };
        let beside = socket.with_extension("console");
        self.state.end.open(path.as_deref().unwrap_or(&beside))
    }

    fn open(self: Arc<Self>, queue: usize, waker: Waker) -> Result<Box<dyn Handler>> {
        let state = self.state.clone();
        if queue == RECEIVE {
            state.end.watch(Side::ToGuest, waker);
            return Ok(Box::new(ToGuest { state }));
        }
        Ok(Box::new(FromGuest { state, line: Vec::new() }))
    }

    fn figures(&self) -> Vec<Figure> {
        metrics::figures(&self.state.counters, self.state.end.forgotten())
    }
}
