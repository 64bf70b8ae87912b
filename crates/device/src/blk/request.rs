// SPDX-License-Identifier: MIT OR Apache-2.0
//! A chain as a typed request (5.2.6).
//!
//! A request is a header of 16 bytes, data one way or the other, and a status byte: the last byte that the device may
//! write. Nothing here touches the disk, and nothing panics: it is what the fuzzer drives. What comes out is within
//! the disk and of whole sectors.

use virtio_bindings::virtio_blk as abi;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::SECTOR;
use super::config::{MAX_RANGE_SECTORS, MAX_RANGES};
use crate::chain::{Chain, Readable, Writable};

/// `struct virtio_blk_outhdr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable)]
struct Header {
    kind: U32,
    reserved: U32,
    sector: U64,
}

/// `struct virtio_blk_discard_write_zeroes`.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable)]
struct RawRange {
    sector: U64,
    sectors: U32,
    flags: U32,
}

const HEADER_BYTES: usize = size_of::<Header>();
const RANGE_BYTES: usize = size_of::<RawRange>();

/// How a request ended, as the driver is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// `VIRTIO_BLK_S_OK`.
    Ok = abi::VIRTIO_BLK_S_OK as u8,
    /// `VIRTIO_BLK_S_IOERR`.
    IoError = abi::VIRTIO_BLK_S_IOERR as u8,
    /// `VIRTIO_BLK_S_UNSUPP`.
    Unsupported = abi::VIRTIO_BLK_S_UNSUPP as u8,
}

/// A part of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// In bytes.
    pub offset: u64,
    /// In bytes.
    pub len: u64,
    /// Zeroes need not take room.
    pub unmap: bool,
}

/// A few of them, without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    list: [Range; MAX_RANGES],
    len: usize,
}

impl std::ops::Deref for Ranges {
    type Target = [Range];

    fn deref(&self) -> &[Range] {
        &self.list[..self.len]
    }
}

/// What the driver wants.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// Read from this byte on, as much as there is room for.
    Read(u64, Writable<'a>),
    /// Write from this byte on.
    Write(u64, Readable<'a>),
    /// Make durable what was written.
    Flush,
    /// Tell the serial.
    Id(Writable<'a>),
    /// These are no longer needed.
    Discard(Ranges),
    /// These are zeroes now.
    WriteZeroes(Ranges),
}

/// What a request is held against.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In bytes, of whole sectors.
    pub size: u64,
    /// Nothing may change.
    pub read_only: bool,
}

/// A chain that has room for a status.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The request, or the status that refuses it.
    pub request: Result<Request<'a>, Status>,
    /// Where the status goes.
    pub status: Writable<'a>,
    /// How many bytes the device may write, the status included: what a chain's used length is at most.
    pub room: usize,
}

/// Reads a chain. `None` if it has no room for a status: then there is no way to answer it.
pub fn parse<'a>(chain: &Chain<'a>, limits: Limits) -> Option<Parsed<'a>> {
    let room = chain.writable().len();
    let (data, status) = chain.writable().split_at(room.checked_sub(1)?).ok()?;
    Some(Parsed { request: request(chain.readable(), data, limits), status, room })
}

fn request<'a>(
    readable: Readable<'a>,
    writable: Writable<'a>,
    limits: Limits,
) -> Result<Request<'a>, Status> {
    let mut header = [0; HEADER_BYTES];
    let (mut front, data) = readable.split_at(HEADER_BYTES).map_err(|_| Status::IoError)?;
    front.read_exact(&mut header).map_err(|_| Status::IoError)?;
    let header = Header::read_from_bytes(&header).map_err(|_| Status::IoError)?;
    let offset = |len| limits.part(header.sector.get(), len);
    match header.kind.get() {
        abi::VIRTIO_BLK_T_IN => {
            none(data.len())?;
            Ok(Request::Read(offset(writable.len())?, writable))
        }
        abi::VIRTIO_BLK_T_OUT => {
            none(writable.len())?;
            limits.may_change()?;
            Ok(Request::Write(offset(data.len())?, data))
        }
        abi::VIRTIO_BLK_T_FLUSH => Ok(Request::Flush),
        abi::VIRTIO_BLK_T_GET_ID => Ok(Request::Id(writable)),
        abi::VIRTIO_BLK_T_DISCARD => {
            limits.may_change()?;
            // "The device MUST set the status byte to VIRTIO_BLK_S_UNSUPP for discard and secure erase commands if the
            // unmap flag is set" (5.2.6.2).
            Ok(Request::Discard(ranges(data, limits, 0)?))
        }
        abi::VIRTIO_BLK_T_WRITE_ZEROES => {
            limits.may_change()?;
            Ok(Request::WriteZeroes(ranges(data, limits, abi::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)?))
        }
        _ => Err(Status::Unsupported),
    }
}

/// Data the wrong way round is not data of another length.
fn none(bytes: usize) -> Result<(), Status> {
    if bytes == 0 { Ok(()) } else { Err(Status::IoError) }
}

fn ranges(mut data: Readable<'_>, limits: Limits, known_flags: u32) -> Result<Ranges, Status> {
    let len = data.len() / RANGE_BYTES;
    if len == 0 || len > MAX_RANGES || !data.len().is_multiple_of(RANGE_BYTES) {
        return Err(Status::IoError);
    }
    let mut list = [Range::default(); MAX_RANGES];
    for range in &mut list[..len] {
        let mut raw = [0; RANGE_BYTES];
        data.read_exact(&mut raw).map_err(|_| Status::IoError)?;
        let raw = RawRange::read_from_bytes(&raw).map_err(|_| Status::IoError)?;
        *range = limits.range(&raw, known_flags)?;
    }
    Ok(Ranges { list, len })
}

impl Limits {
    fn may_change(self) -> Result<(), Status> {
        // "A device MUST fail a write with VIRTIO_BLK_S_IOERR, and change nothing, if VIRTIO_BLK_F_RO" (5.2.6.2).
        if self.read_only { Err(Status::IoError) } else { Ok(()) }
    }

    /// The byte at which `len` bytes from this sector on begin, if they are whole sectors of the disk.
    fn part(self, sector: u64, len: usize) -> Result<u64, Status> {
        let len = len as u64;
        let offset = sector.checked_mul(SECTOR).ok_or(Status::IoError)?;
        let end = offset.checked_add(len).ok_or(Status::IoError)?;
        if end > self.size || !len.is_multiple_of(SECTOR) {
            return Err(Status::IoError);
        }
        Ok(offset)
    }

    fn range(self, raw: &RawRange, known_flags: u32) -> Result<Range, Status> {
        let flags = raw.flags.get();
        if flags & !known_flags != 0 {
            return Err(Status::Unsupported);
        }
        if raw.sectors.get() > MAX_RANGE_SECTORS {
            return Err(Status::IoError);
        }
        let len = u64::from(raw.sectors.get()) * SECTOR;
        let offset = self.part(raw.sector.get(), len as usize)?;
        Ok(Range { offset, len, unmap: flags & abi::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0 })
    }
}

impl Request<'_> {
    /// In words, for a trace.
    pub fn describe(&self) -> String {
        let sectors =
            |offset: u64, len: u64| format!("{} sectors at sector {}", len / SECTOR, offset / SECTOR);
        let list = |ranges: &Ranges| {
            ranges.iter().map(|range| sectors(range.offset, range.len)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Read(offset, data) => format!("read {}", sectors(*offset, data.len() as u64)),
            Self::Write(offset, data) => format!("write {}", sectors(*offset, data.len() as u64)),
            Self::Flush => "flush".into(),
            Self::Id(_) => "get the serial".into(),
            Self::Discard(ranges) => format!("discard {}", list(ranges)),
            Self::WriteZeroes(ranges) => format!("write zeroes to {}", list(ranges)),
        }
    }
}
