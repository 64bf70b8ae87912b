// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! The virtio block device: its id, feature bits, configuration and requests, as section 5.2 of the virtio
//! specification (version 1.2) has them. All numbers are little-endian.
//!
//! A request is one chain: readable, a [`Header`] and the data of a write or the [`Range`] of a discard or write of
//! zeroes; writable, the data of a read or the id, and last one byte of status.

use core::mem::size_of;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The virtio id (`VIRTIO_ID_BLOCK`).
pub const DEVICE_ID: u32 = 2;

/// Bytes of a sector, the unit of positions and capacity whatever the block size.
pub const SECTOR_SIZE: u32 = 512;

/// Feature bit: a piece of memory has at most [`config::SIZE_MAX`] bytes.
pub const F_SIZE_MAX: u32 = 1;
/// Feature bit: a request's data has at most [`config::SEG_MAX`] pieces.
pub const F_SEG_MAX: u32 = 2;
/// Feature bit: the disk is read-only.
pub const F_RO: u32 = 5;
/// Feature bit: the logical block size is in [`config::BLK_SIZE`].
pub const F_BLK_SIZE: u32 = 6;
/// Feature bit: the device takes [`T_FLUSH`].
pub const F_FLUSH: u32 = 9;
/// Feature bit: there is a topology.
pub const F_TOPOLOGY: u32 = 10;
/// Feature bit: the cache can be turned on and off by [`config::WRITEBACK`].
pub const F_CONFIG_WCE: u32 = 11;
/// Feature bit: there are [`config::NUM_QUEUES`] queues.
pub const F_MQ: u32 = 12;
/// Feature bit: the device takes [`T_DISCARD`].
pub const F_DISCARD: u32 = 13;
/// Feature bit: the device takes [`T_WRITE_ZEROES`].
pub const F_WRITE_ZEROES: u32 = 14;

/// Where the fields of the configuration are, in bytes; their sizes are the names' types in the specification.
pub mod config {
    /// le64: sectors.
    pub const CAPACITY: u32 = 0;
    /// le32, with [`F_SIZE_MAX`](super::F_SIZE_MAX): bytes of the longest piece of memory.
    pub const SIZE_MAX: u32 = 8;
    /// le32, with [`F_SEG_MAX`](super::F_SEG_MAX): pieces of memory of the largest request.
    pub const SEG_MAX: u32 = 12;
    /// le32, with [`F_BLK_SIZE`](super::F_BLK_SIZE): bytes of a logical block.
    pub const BLK_SIZE: u32 = 20;
    /// u8, with [`F_TOPOLOGY`](super::F_TOPOLOGY): the logarithm of logical blocks in a physical one.
    pub const PHYSICAL_BLOCK_EXP: u32 = 24;
    /// le16, with [`F_TOPOLOGY`](super::F_TOPOLOGY): logical blocks of the smallest I/O that is done well.
    pub const MIN_IO_SIZE: u32 = 26;
    /// le32, with [`F_TOPOLOGY`](super::F_TOPOLOGY): logical blocks of the I/O that is done best.
    pub const OPT_IO_SIZE: u32 = 28;
    /// u8, with [`F_CONFIG_WCE`](super::F_CONFIG_WCE): 1 if there is a volatile cache.
    pub const WRITEBACK: u32 = 32;
    /// le16, with [`F_MQ`](super::F_MQ).
    pub const NUM_QUEUES: u32 = 34;
    /// le32, with [`F_DISCARD`](super::F_DISCARD): sectors of the largest discard.
    pub const MAX_DISCARD_SECTORS: u32 = 36;
    /// le32, with [`F_DISCARD`](super::F_DISCARD): sectors that a discard is to be aligned to.
    pub const DISCARD_SECTOR_ALIGNMENT: u32 = 44;
    /// le32, with [`F_WRITE_ZEROES`](super::F_WRITE_ZEROES): sectors of the largest write of zeroes.
    pub const MAX_WRITE_ZEROES_SECTORS: u32 = 48;
    /// u8, with [`F_WRITE_ZEROES`](super::F_WRITE_ZEROES): 1 if [`Range::UNMAP`](super::Range::UNMAP) may give memory back.
    pub const WRITE_ZEROES_MAY_UNMAP: u32 = 56;
}

/// Request type: read.
pub const T_IN: u32 = 0;
/// Request type: write.
pub const T_OUT: u32 = 1;
/// Request type: make durable what was completed before.
pub const T_FLUSH: u32 = 4;
/// Request type: the device's id, [`ID_BYTES`] of text, ended by a zero if it is shorter.
pub const T_GET_ID: u32 = 8;
/// Request type: the range is not needed any more.
pub const T_DISCARD: u32 = 11;
/// Request type: the range is to read as zeroes.
pub const T_WRITE_ZEROES: u32 = 13;

/// Bytes of the id.
pub const ID_BYTES: usize = 20;

/// What a request begins with.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Header {
    /// One of the `T_` constants.
    pub kind: U32,
    /// 0.
    pub reserved: U32,
    /// The first sector of a read or write; else 0.
    pub sector: U64,
}

/// What a discard or a write of zeroes is for.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Range {
    /// The first sector.
    pub sector: U64,
    /// How many.
    pub sectors: U32,
    /// [`Self::UNMAP`] or 0.
    pub flags: U32,
}

impl Range {
    /// A write of zeroes may give the range's memory back.
    pub const UNMAP: u32 = 1;
}

/// Status: done.
pub const S_OK: u8 = 0;
/// Status: an error of the device or of the request.
pub const S_IOERR: u8 = 1;
/// Status: the device knows no such request.
pub const S_UNSUPP: u8 = 2;

// A size that changes here changes the protocol.
const _: () = {
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<Range>() == 16);
};
