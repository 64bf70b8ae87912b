// SPDX-License-Identifier: GPL-2.0

//! What a device's configuration says, and what the block layer is told of it.
//!
//! The device is not trusted: what makes no sense is refused or cut, so that nothing later meets
//! it.

use blockyard_abi::virtio_blk::{self as abi, config};
use kernel::prelude::*;
use kit::{
    block::{Limits, SECTOR_SIZE},
    virtio::{Device, Field, OptionalField},
};

use crate::disk::Vsim;

/// Descriptors of a request that are not for its data: the header and the status.
pub(crate) const OTHER_PIECES: usize = 2;

/// Most pieces of data that a request has, whatever the device takes: 1 MiB of single pages.
const MAX_SEGMENTS: u32 = 256;

/// Bytes of the largest block.
const MAX_BLOCK_SIZE: u32 = 4096;

const CAPACITY: Field<u64> = Field::at(config::CAPACITY);
const SIZE_MAX: OptionalField<u32> = Field::at(config::SIZE_MAX).with(abi::F_SIZE_MAX);
const SEG_MAX: OptionalField<u32> = Field::at(config::SEG_MAX).with(abi::F_SEG_MAX);
const BLK_SIZE: OptionalField<u32> = Field::at(config::BLK_SIZE).with(abi::F_BLK_SIZE);
const PHYSICAL_BLOCK_EXP: OptionalField<u8> =
    Field::at(config::PHYSICAL_BLOCK_EXP).with(abi::F_TOPOLOGY);
const MIN_IO_SIZE: OptionalField<u16> = Field::at(config::MIN_IO_SIZE).with(abi::F_TOPOLOGY);
const OPT_IO_SIZE: OptionalField<u32> = Field::at(config::OPT_IO_SIZE).with(abi::F_TOPOLOGY);
const WRITEBACK: OptionalField<u8> = Field::at(config::WRITEBACK).with(abi::F_CONFIG_WCE);
const NUM_QUEUES: OptionalField<u16> = Field::at(config::NUM_QUEUES).with(abi::F_MQ);
const MAX_DISCARD_SECTORS: OptionalField<u32> =
    Field::at(config::MAX_DISCARD_SECTORS).with(abi::F_DISCARD);
const DISCARD_SECTOR_ALIGNMENT: OptionalField<u32> =
    Field::at(config::DISCARD_SECTOR_ALIGNMENT).with(abi::F_DISCARD);
const MAX_WRITE_ZEROES_SECTORS: OptionalField<u32> =
    Field::at(config::MAX_WRITE_ZEROES_SECTORS).with(abi::F_WRITE_ZEROES);
const WRITE_ZEROES_MAY_UNMAP: OptionalField<u8> =
    Field::at(config::WRITE_ZEROES_MAY_UNMAP).with(abi::F_WRITE_ZEROES);

/// How many queues the device has.
pub(crate) fn queues(device: &Device<'_, Vsim>) -> Result<usize> {
    let queues = device.config().read_optional(NUM_QUEUES)?.unwrap_or(1);
    if queues == 0 {
        dev_err!(device.dev(), "has several queues, and none\n");
        return Err(EINVAL);
    }
    Ok(queues.into())
}

/// How many pieces of data a request may have.
pub(crate) fn segments(device: &Device<'_, Vsim>) -> Result<u16> {
    let segments = device.config().read_optional(SEG_MAX)?;
    // It takes at least one, whatever it says.
    Ok(segments.map_or(1, |most| most.clamp(1, MAX_SEGMENTS)) as u16)
}

/// How many sectors there are.
pub(crate) fn capacity(device: &Device<'_, Vsim>) -> Result<u64> {
    device.config().read(CAPACITY)
}

/// The limits for the block layer, for requests of up to `segments` pieces of data.
pub(crate) fn limits(device: &Device<'_, Vsim>, segments: u16) -> Result<Limits> {
    device.config().snapshot(|config| {
        let block = config.read_optional(BLK_SIZE)?.unwrap_or(512);
        if !Limits::is_block_size(block) {
            dev_err!(
                device.dev(),
                "has blocks of {block} bytes, which is not supported\n"
            );
            return Err(EINVAL);
        }
        let longest = config.read_optional(SIZE_MAX)?.unwrap_or(u32::MAX);
        let exponent = config.read_optional(PHYSICAL_BLOCK_EXP)?.unwrap_or(0);
        let blocks = |number: u32| block.saturating_mul(number);
        let no_limit = |sectors: u32| if sectors == 0 { u32::MAX } else { sectors };
        let alignment = config.read_optional(DISCARD_SECTOR_ALIGNMENT)?.unwrap_or(0);
        let writeback = match config.read_optional(WRITEBACK)? {
            Some(on) => on != 0,
            // A device that cannot be asked has a cache if it can flush one.
            None => device.features().has::<{ abi::F_FLUSH }>(),
        };
        let may_unmap = config.read_optional(WRITE_ZEROES_MAY_UNMAP)?.unwrap_or(0);
        Ok(Limits {
            logical_block_size: block,
            physical_block_size: u32::checked_shl(1, exponent.into())
                .map_or(MAX_BLOCK_SIZE, blocks)
                .min(MAX_BLOCK_SIZE),
            io_min: blocks(config.read_optional(MIN_IO_SIZE)?.unwrap_or(0).into()),
            io_opt: blocks(config.read_optional(OPT_IO_SIZE)?.unwrap_or(0)),
            max_sectors: u32::MAX,
            max_segments: segments,
            max_segment_size: longest,
            max_discard_sectors: config
                .read_optional(MAX_DISCARD_SECTORS)?
                .map_or(0, no_limit),
            discard_granularity: alignment.saturating_mul(SECTOR_SIZE as u32).max(block),
            max_write_zeroes_sectors: config
                .read_optional(MAX_WRITE_ZEROES_SECTORS)?
                .map_or(0, no_limit),
            write_zeroes_unmaps: may_unmap != 0,
            write_cache: writeback,
            // Nothing here sleeps for a bio that must not wait.
            nowait: true,
            io_stat: true,
            ..Limits::default()
        })
    })
}
