// SPDX-License-Identifier: GPL-2.0

//! What a disk can do, told to the block layer, which then splits, aligns or refuses accordingly.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use kernel::{bindings, prelude::*};

// `BLK_FEAT_*`, whose casts bindgen cannot translate.
const FEAT_WRITE_CACHE: u32 = 1 << 0;
const FEAT_FUA: u32 = 1 << 1;
pub(super) const FEAT_IO_STAT: u32 = 1 << 4;
const FEAT_SYNCHRONOUS: u32 = 1 << 6;
const FEAT_NOWAIT: u32 = 1 << 7;

/// The limits of a disk. The default is a disk of 512-byte blocks that reads and writes, without
/// anything optional.
#[derive(Clone, Copy)]
#[doc(alias = "queue_limits")]
pub struct Limits {
    /// Bytes of the smallest addressable unit: a power of two, 512 to 4096.
    pub logical_block_size: u32,
    /// Bytes of the unit that is written without reading: a power of two, at least the logical
    /// block.
    pub physical_block_size: u32,
    /// Bytes of the smallest I/O that the disk does well; 0: the physical block.
    pub io_min: u32,
    /// Bytes of the I/O that the disk does best; 0: not known.
    pub io_opt: u32,
    /// Sectors of the largest bio; what is larger is split.
    pub max_sectors: u32,
    /// Pieces of memory of the largest bio. A driver that copies can do with any number; one that
    /// has the device read and write the memory cannot.
    pub max_segments: u16,
    /// Bytes of the longest piece, at least a page.
    pub max_segment_size: u32,
    /// Sectors of the largest discard; 0: not supported.
    pub max_discard_sectors: u32,
    /// Bytes of the unit in which discard gives memory back.
    pub discard_granularity: u32,
    /// Sectors of the largest write of zeroes; 0: not supported.
    pub max_write_zeroes_sectors: u32,
    /// Whether a write of zeroes may give memory back ([`Bio::keep_allocated`](super::Bio)).
    pub write_zeroes_unmaps: bool,
    /// The disk has a volatile cache: flushes and FUA writes are sent to the driver, and not
    /// dropped above it.
    pub write_cache: bool,
    /// `submit_bio` never sleeps for a bio with `REQ_NOWAIT`.
    pub nowait: bool,
    /// Bios are as a rule complete when `submit_bio` returns.
    pub synchronous: bool,
    /// The block layer counts and times each bio, for `iostat` and `/proc/diskstats`, from the
    /// start. It costs about 170 instructions a bio, so a disk that answers from memory leaves it
    /// to who wants it: `echo 1 > queue/iostats`.
    pub io_stat: bool,
    /// The mask of what the address and the length of each segment must be a multiple of, less one.
    /// The driver copies bytes, so it need not care; 3 is what most hardware wants.
    pub dma_alignment: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            logical_block_size: 512,
            physical_block_size: 4096,
            io_min: 0,
            io_opt: 0,
            max_sectors: 1024,
            max_segments: u16::MAX,
            max_segment_size: u32::MAX,
            max_discard_sectors: 0,
            discard_granularity: 0,
            max_write_zeroes_sectors: 0,
            write_zeroes_unmaps: true,
            write_cache: false,
            nowait: false,
            synchronous: false,
            io_stat: true,
            dma_alignment: 511,
        }
    }
}

impl Limits {
    /// Whether a disk can have logical blocks of this size.
    pub fn is_block_size(size: u32) -> bool {
        size.is_power_of_two() && (512..=bindings::PAGE_SIZE as u32).contains(&size)
    }

    /// Fails with `EINVAL` if the block sizes make no sense, or the pieces of memory are such that
    /// the block layer would warn; it judges the rest.
    fn check(&self) -> Result {
        let sizes = [self.logical_block_size, self.physical_block_size];
        let ordered = self.physical_block_size >= self.logical_block_size;
        let memory = self.max_segments > 0 && self.max_segment_size >= bindings::PAGE_SIZE as u32;
        if ordered && memory && sizes.into_iter().all(Self::is_block_size) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    fn features(&self) -> u32 {
        let mut features = 0;
        for (wanted, feature) in [
            (self.write_cache, FEAT_WRITE_CACHE | FEAT_FUA),
            (self.nowait, FEAT_NOWAIT),
            (self.synchronous, FEAT_SYNCHRONOUS),
            (self.io_stat, FEAT_IO_STAT),
        ] {
            if wanted {
                features |= feature;
            }
        }
        features
    }

    /// The limits as the block layer takes them. What is not set here gets its default there.
    pub(super) fn to_raw(self) -> Result<bindings::queue_limits> {
        self.check()?;
        let mut raw: bindings::queue_limits = pin_init::zeroed();
        raw.features = self.features();
        raw.logical_block_size = self.logical_block_size;
        raw.physical_block_size = self.physical_block_size;
        raw.io_min = self.io_min.max(self.physical_block_size);
        raw.io_opt = self.io_opt;
        raw.max_hw_sectors = self.max_sectors;
        raw.max_segments = self.max_segments;
        raw.max_segment_size = self.max_segment_size;
        raw.max_hw_discard_sectors = self.max_discard_sectors;
        raw.max_discard_segments = 1;
        raw.discard_granularity = self.discard_granularity;
        raw.max_write_zeroes_sectors = self.max_write_zeroes_sectors;
        if self.write_zeroes_unmaps {
            raw.max_hw_wzeroes_unmap_sectors = self.max_write_zeroes_sectors;
        }
        raw.dma_alignment = self.dma_alignment;
        Ok(raw)
    }
}
