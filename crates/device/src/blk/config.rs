// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration space of a disk (5.2.4).

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, KnownLayout};

use super::{Disk, SECTOR};

/// Where [`Config::writeback`] is: the one byte that a driver may write.
pub const WRITEBACK_OFFSET: usize = 32;

/// The most ranges in one discard, and in one write of zeroes.
pub const MAX_RANGES: usize = 16;
/// The most sectors in one range. Beyond it, a request would hold its queue for too long.
pub const MAX_RANGE_SECTORS: u32 = 1 << 22;

/// `struct virtio_blk_config`, as far as our features go.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoBytes, KnownLayout, Immutable)]
pub struct Config {
    /// In sectors.
    capacity: U64,
    size_max: U32,
    /// The most pieces of data in a request.
    seg_max: U32,
    geometry: [u8; 4],
    /// Of a logical block, in bytes.
    blk_size: U32,
    /// Logical blocks in a physical one, as a power of two.
    physical_block_exp: u8,
    /// The first aligned logical block.
    alignment_offset: u8,
    /// In logical blocks.
    min_io_size: U16,
    /// In logical blocks.
    opt_io_size: U32,
    /// 1: there is a write cache.
    pub writeback: u8,
    unused0: u8,
    num_queues: U16,
    max_discard_sectors: U32,
    max_discard_seg: U32,
    /// In sectors.
    discard_sector_alignment: U32,
    max_write_zeroes_sectors: U32,
    max_write_zeroes_seg: U32,
    write_zeroes_may_unmap: u8,
    unused1: [u8; 3],
}

impl Config {
    /// Of this disk, of so many bytes, with a write cache.
    pub fn new(disk: &Disk, size: u64) -> Self {
        // What memory and files are made of: less than that is read, changed and written, and not given back.
        let physical = disk.block_size.max(4096);
        let ranges = U32::new(MAX_RANGES as u32);
        Self {
            capacity: U64::new(size / SECTOR),
            size_max: U32::new(0),
            // The header, the status, and each piece of data has a descriptor.
            seg_max: U32::new(u32::from(disk.queue_size) - 2),
            geometry: [0; 4],
            blk_size: U32::new(disk.block_size),
            physical_block_exp: (physical / disk.block_size).trailing_zeros() as u8,
            alignment_offset: 0,
            min_io_size: U16::new((physical / disk.block_size) as u16),
            opt_io_size: U32::new(0),
            writeback: 1,
            unused0: 0,
            num_queues: U16::new(disk.queues as u16),
            max_discard_sectors: U32::new(MAX_RANGE_SECTORS),
            max_discard_seg: ranges,
            discard_sector_alignment: U32::new(physical / SECTOR as u32),
            max_write_zeroes_sectors: U32::new(MAX_RANGE_SECTORS),
            max_write_zeroes_seg: ranges,
            write_zeroes_may_unmap: 1,
            unused1: [0; 3],
        }
    }
}

const _: () = assert!(size_of::<Config>() == 60);
const _: () = assert!(std::mem::offset_of!(Config, writeback) == WRITEBACK_OFFSET);
