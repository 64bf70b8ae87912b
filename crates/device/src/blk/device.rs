// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disk as its driver sees it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use virtio_bindings::virtio_blk as abi;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use zerocopy::IntoBytes;

use super::config::{Config, WRITEBACK_OFFSET};
use super::io::Common;
use super::io::file::{Backing, FileQueue};
use super::io::ram::{Ram, RamQueue};
use super::metrics::{self, Counters};
use super::request::Limits;
use super::{Disk, Source};
use crate::device::{Device, Handler, Waker};
use crate::error::Result;
use crate::metrics::Figure;

/// A disk.
#[derive(Debug)]
pub struct Blk {
    disk: Disk,
    limits: Limits,
    config: Config,
    state: Arc<State>,
    store: Store,
}

/// What the disk stands on.
#[derive(Debug)]
enum Store {
    Ram(Arc<Ram>),
    File(Arc<Backing>),
}

/// What the driver has chosen, and what the queues count.
#[derive(Debug)]
pub struct State {
    negotiated: AtomicU64,
    /// The driver's wish, which counts only with `VIRTIO_BLK_F_CONFIG_WCE`.
    writeback: AtomicBool,
    counters: Vec<Counters>,
}

impl State {
    /// Whether a completed write may be lost until a flush (5.2.5.2 and 5.2.6.2).
    pub fn has_write_cache(&self) -> bool {
        let negotiated = self.negotiated.load(Relaxed);
        let has = |feature: u32| negotiated & 1 << feature != 0;
        if has(abi::VIRTIO_BLK_F_CONFIG_WCE) {
            self.writeback.load(Relaxed)
        } else {
            has(abi::VIRTIO_BLK_F_FLUSH)
        }
    }

    /// What this queue counts.
    pub fn counters(&self, queue: usize) -> &Counters {
        &self.counters[queue]
    }
}

impl Blk {
    /// Takes what the disk stands on.
    pub fn new(disk: &Disk) -> Result<Self> {
        let (size, store) = match &disk.source {
            Source::Ram(size) => (*size, Store::Ram(Arc::new(Ram::new(*size)?))),
            Source::File(path) => {
                let backing = Backing::open(path, disk)?;
                (backing.size(), Store::File(Arc::new(backing)))
            }
        };
        let state = State {
            negotiated: AtomicU64::new(0),
            writeback: AtomicBool::new(true),
            counters: (0..disk.queues).map(|_| Counters::default()).collect(),
        };
        let limits = Limits { size, read_only: disk.read_only };
        Ok(Self {
            disk: disk.clone(),
            limits,
            config: Config::new(disk, size),
            state: Arc::new(state),
            store,
        })
    }
}

impl Device for Blk {
    fn name(&self) -> &'static str {
        "blk"
    }

    fn id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        let mut features = 1 << abi::VIRTIO_BLK_F_SEG_MAX
            | 1 << abi::VIRTIO_BLK_F_BLK_SIZE
            | 1 << abi::VIRTIO_BLK_F_TOPOLOGY
            | 1 << abi::VIRTIO_BLK_F_FLUSH
            | 1 << abi::VIRTIO_BLK_F_CONFIG_WCE
            | 1 << abi::VIRTIO_BLK_F_MQ;
        if self.disk.read_only {
            features |= 1 << abi::VIRTIO_BLK_F_RO;
        } else {
            features |= 1 << abi::VIRTIO_BLK_F_DISCARD | 1 << abi::VIRTIO_BLK_F_WRITE_ZEROES;
        }
        features
    }

    fn queues(&self) -> usize {
        self.disk.queues
    }

    fn queue_size(&self) -> u16 {
        self.disk.queue_size
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.config;
        config.writeback = self.state.writeback.load(Relaxed).into();
        config.as_bytes().to_vec()
    }

    fn write_config(&self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        match (offset, bytes) {
            (WRITEBACK_OFFSET, &[value @ (0 | 1)]) => {
                self.state.writeback.store(value == 1, Relaxed);
                Ok(())
            }
            (WRITEBACK_OFFSET, &[_]) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "writeback is 0 or 1"))
            }
            _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "only writeback can be written")),
        }
    }

    fn negotiated(&self, features: u64) {
        self.state.negotiated.store(features, Relaxed);
        // "If VIRTIO_BLK_F_CONFIG_WCE is negotiated, writeback is the mode from then on; without VIRTIO_BLK_F_FLUSH the
        // device MUST initialize it to 0" (5.2.5.2).
        self.state.writeback.store(features & 1 << abi::VIRTIO_BLK_F_FLUSH != 0, Relaxed);
    }

    fn open(self: Arc<Self>, queue: usize, waker: Waker) -> Result<Box<dyn Handler>> {
        let serial = self.disk.serial.clone();
        let common = Common { limits: self.limits, serial, state: self.state.clone(), queue };
        Ok(match &self.store {
            Store::Ram(ram) => Box::new(RamQueue { ram: ram.clone(), common }),
            Store::File(backing) => Box::new(FileQueue::new(backing.clone(), common, &waker)?),
        })
    }

    fn figures(&self) -> Vec<Figure> {
        metrics::figures(self.state.counters.iter())
    }
}
