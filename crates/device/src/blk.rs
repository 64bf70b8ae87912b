// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk: virtio-blk (virtio 1.2, section 5.2), driven by Linux's own `virtio_blk`.
//!
//! | room | what is there |
//! |---|---|
//! | [`device`] | what the driver sees: features, configuration, one handler a queue |
//! | [`request`] | a chain as a typed request, or the status that refuses it |
//! | [`io`] | what carries it out: memory at once, a file with `io_uring` |
//! | [`metrics`] | what was counted |
//!
//! # When a write is durable
//!
//! The disk has a volatile write cache as long as the driver wants one: then a completed write may be lost until a flush
//! completes. A driver that negotiated `VIRTIO_BLK_F_CONFIG_WCE` can switch it off (`writeback` in the configuration, or
//! `/sys/block/vda/queue/write_cache` in the guest), and one that negotiated no flush at all never had it: then each
//! write is durable when it completes.
//!
//! In a file, that is a write with `RWF_DSYNC`, and a flush is `fdatasync`. A file is locked, so that two disks never share
//! one. What a disk promises when its process dies is told in [`crate::queue`].
//!
//! A disk in memory has nothing that survives its process, so for it both are the same.

mod config;
pub mod device;
pub mod io;
pub mod metrics;
pub mod request;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::device::Blk;
use crate::error::Result;
use crate::spec::{OptionHelp, Options, Plan, SpecError, Type};

/// 512 bytes, which all of virtio-blk counts in, whatever the size of a block.
pub const SECTOR: u64 = 512;
/// The longest serial (`VIRTIO_BLK_ID_BYTES`).
pub const ID_BYTES: usize = 20;

/// The type `blk`.
pub const TYPE: Type = Type {
    name: "blk",
    summary: "a disk (virtio-blk)",
    options: &[
        OptionHelp { name: "size", value: "SIZE", summary: "a disk in memory of this size; or" },
        OptionHelp { name: "file", value: "PATH", summary: "a disk in this file, or on this block device" },
        OptionHelp { name: "serial", value: "TEXT", summary: "what the guest finds it by, at most 20 bytes" },
        OptionHelp { name: "read-only", value: "", summary: "refuses whatever would change it" },
        OptionHelp { name: "queues", value: "N", summary: "request queues, a thread each (1)" },
        OptionHelp { name: "queue-size", value: "N", summary: "entries of a queue (128)" },
        OptionHelp { name: "block-size", value: "SIZE", summary: "of a logical block (512)" },
    ],
    parse,
};

/// A disk to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where its data is.
    pub source: Source,
    /// At most [`ID_BYTES`].
    pub serial: String,
    /// Refuses writes.
    pub read_only: bool,
    /// How many.
    pub queues: usize,
    /// Entries of each.
    pub queue_size: u16,
    /// In bytes.
    pub block_size: u32,
}

/// Where the data of a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In memory, so many bytes.
    Ram(u64),
    /// In a file, all of it.
    File(PathBuf),
}

fn parse(options: &mut Options) -> Result<Arc<dyn Plan>, SpecError> {
    let block_size = options.power_of_two("block-size", 512..=65536)?.unwrap_or(SECTOR);
    let source = match (options.size("size")?, options.path("file")?) {
        (Some(size), None) => Source::Ram(whole_blocks(size, block_size)?),
        (None, Some(path)) => Source::File(path),
        _ => return Err(SpecError::new("blk needs one of `size=..` and `file=..`")),
    };
    let serial = options.text("serial")?.unwrap_or_else(|| "blockyard".into());
    if serial.len() > ID_BYTES {
        let sentence = format!("option `serial` cannot be `{serial}`: it has at most {ID_BYTES} bytes");
        return Err(SpecError::new(sentence));
    }
    Ok(Arc::new(Disk {
        source,
        serial,
        read_only: options.switch("read-only")?,
        queues: options.number("queues", 1..=16)?.unwrap_or(1) as usize,
        queue_size: options.power_of_two("queue-size", 4..=1024)?.unwrap_or(128) as u16,
        block_size: block_size as u32,
    }))
}

fn whole_blocks(size: u64, block_size: u64) -> Result<u64, SpecError> {
    if size == 0 || !size.is_multiple_of(block_size) {
        let allowed = format!("a number of blocks of {block_size} bytes, at least one");
        return Err(SpecError::new(format!("option `size` cannot be `{size}`: it is {allowed}")));
    }
    Ok(size)
}

impl Plan for Disk {
    fn make(&self) -> Result<Arc<dyn crate::Device>> {
        Ok(Arc::new(Blk::new(self)?))
    }
}
