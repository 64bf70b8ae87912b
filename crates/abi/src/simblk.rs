// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! `simblk`, the simulated disk: its names, its limits, and the ioctls of its control device and of its disks.
//!
//! # Disks
//!
//! Disks come and go by ioctls on [`CONTROL_PATH`]. What changes something needs `CAP_SYS_ADMIN`; [`LIST`] and
//! [`INFO`] need only the open file.
//!
//! # A user program takes part in each I/O
//!
//! A disk has as many *physical* pages as *logical* ones, [`PAGE_SIZE`] bytes each. As a rule, logical page n is
//! physical page n (the identity mapping). A program may take that decision over, as a flash translation layer
//! does:
//!
//! 1. [`REGISTER`] binds its open file to one disk. From then on every read and write of that disk is held.
//! 2. [`REQ_SIZE`] waits for a request and tells its id, and how many map entries it has.
//! 3. [`GET_BLK`] gives these entries: one per logical page touched, each with the physical page that it maps to now.
//! 4. [`SET_BLK`] answers: per logical page the physical page that is read, and for a write the one that is written.
//!    The driver moves the data, completes the request, and remembers the mapping for the next [`GET_BLK`].
//!
//! Requests may be answered in any order. A wrong answer is refused and changes nothing: the program may try again.
//! When the file is closed (so also when the program dies), when an answer is not there in time
//! ([`SET_TIMEOUT`]), or when the disk is removed, the registration ends: what was held goes on with the
//! identity mapping (on removal: fails), and so does all that comes later.
//!
//! While a program is registered, discard and write-zeroes fail with `EOPNOTSUPP`: they name no pages to map. (The
//! block layer hides that from the ioctl `BLKDISCARD`, as a discard is only advice, and writes zeroes page by page
//! instead.) A flush is empty, and completes by itself.

use core::mem::size_of;

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::command::{Read, ReadWrite, Write};

/// The module's name, the name of its major in `/proc/devices`, and how its disks' names begin.
pub const NAME: &str = "simblk";
/// The control device's name.
pub const CONTROL_NAME: &str = "simblk-control";
/// The control device's path. Only root may open it (mode 0600).
pub const CONTROL_PATH: &str = "/dev/simblk-control";

/// Bytes of a page, the unit of the mapping and of memory.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes of a sector, the block layer's unit. Not the disk's block size.
pub const SECTOR_SIZE: u64 = 512;

/// The most disks that exist at a time; their indices are below this.
pub const MAX_DISKS: u32 = 64;
/// Minors of each disk: the disk itself and 15 partitions. Further partitions get minors elsewhere.
pub const MINORS_PER_DISK: u32 = 16;
/// The size of a disk when none is given, in bytes.
pub const DEFAULT_SIZE: u64 = 32 << 20;
/// The smallest disk, in bytes. Sizes are multiples of [`PAGE_SIZE`].
pub const MIN_SIZE: u64 = PAGE_SIZE;
/// The largest disk, in bytes (its pages cost memory only once written, its table 4 MiB per TiB).
pub const MAX_SIZE: u64 = 4 << 40;
/// The smallest logical block, in bytes. Block sizes are powers of two.
pub const MIN_BLOCK_SIZE: u32 = 512;
/// The largest logical block, in bytes.
pub const MAX_BLOCK_SIZE: u32 = 4096;
/// The largest request, in sectors; what is larger is split.
pub const MAX_REQUEST_SECTORS: u32 = 1024;
/// The most map entries that a request has: one more than its pages, as it need not begin at a page's beginning.
pub const MAX_MAP_ENTRIES: u32 = MAX_REQUEST_SECTORS / 8 + 1;
/// How long a mapping program may take over one answer when nothing else was set, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u32 = 5_000;
/// The longest time that may be set for an answer, in milliseconds (below the kernel's limit for a hung task).
pub const MAX_TIMEOUT_MS: u32 = 60_000;

/// The `type` of all ioctls here; `Documentation/userspace-api/ioctl/ioctl-number.rst` has it free.
pub const IOCTL_TYPE: u8 = 0xbb;

/// [`Create`]: makes a disk. `EINVAL` for a bad size, block size, flag or reserved field, `ENOSPC` when
/// [`MAX_DISKS`] exist.
pub const CREATE: ReadWrite<Create> = ReadWrite::new(IOCTL_TYPE, 0);
/// [`Remove`]: takes a disk away. `ENODEV` without that disk, `EBUSY` if it is open and [`REMOVE_FORCE`] is not given.
pub const REMOVE: Write<Remove> = Write::new(IOCTL_TYPE, 1);
/// [`Info`]: of the first disk whose index is [`Info::index`] or more; `ENOENT` after the last.
pub const LIST: ReadWrite<Info> = ReadWrite::new(IOCTL_TYPE, 2);
/// [`Info`]: of the disk [`Info::index`]; `ENODEV` without that disk.
pub const INFO: ReadWrite<Info> = ReadWrite::new(IOCTL_TYPE, 3);
/// [`Register`]: makes this open file the mapper of a disk. `EBUSY` if the disk has one, `EALREADY` if this file is
/// one, `ENODEV` without that disk.
pub const REGISTER: Write<Register> = Write::new(IOCTL_TYPE, 4);
/// [`ReqSize`]: the next held request. `EAGAIN` (nothing there, and told not to wait), `ETIMEDOUT` (waited in vain),
/// `EINTR` (a signal with a handler; after one without the wait begins anew).
///
/// This and the following two say `ENOTCONN` before [`REGISTER`], `ESTALE` once the registration has lapsed for want of
/// an answer (register again to go on), `ENODEV` once the disk is gone.
pub const REQ_SIZE: ReadWrite<ReqSize> = ReadWrite::new(IOCTL_TYPE, 5);
/// [`GetBlk`]: the map of a held request. `ESTALE` if no request with that id is held, `EMSGSIZE` if the array
/// is too short for it (the count is told all the same).
pub const GET_BLK: ReadWrite<GetBlk> = ReadWrite::new(IOCTL_TYPE, 6);
/// [`SetBlk`]: the answer to a held request. `ESTALE` if no request with that id is held, `EINVAL` for a wrong
/// answer: not one entry per logical page in the order of [`GET_BLK`], a page beyond the end, one new page given
/// twice, or a new page that another entry still reads from.
pub const SET_BLK: ReadWrite<SetBlk> = ReadWrite::new(IOCTL_TYPE, 7);
/// [`SetTimeout`]: how long a disk waits for an answer. `EINVAL` for 0 or more than [`MAX_TIMEOUT_MS`].
pub const SET_TIMEOUT: Write<SetTimeout> = Write::new(IOCTL_TYPE, 8);

/// [`Info`] of the disk that the ioctl is made on (not the control device).
pub const DISK_INFO: Read<Info> = Read::new(IOCTL_TYPE, 64);

/// A flag of [`Remove`]: also if the disk is open. Requests under way end with `EIO`. Who still has it open then reads
/// `EIO`, and may not write (`EPERM`).
pub const REMOVE_FORCE: u32 = 1;

/// A flag in [`Info::flags`]: a mapping program is registered.
pub const INFO_MAPPER: u32 = 1;

/// [`ReqSize::timeout_ms`]: wait until a request comes.
pub const WAIT_FOREVER: u32 = u32::MAX;

/// [`MapEntry::direction`]: data goes from the disk to the program.
pub const DIRECTION_READ: u32 = 0;
/// [`MapEntry::direction`]: data goes from the program to the disk.
pub const DIRECTION_WRITE: u32 = 1;

/// The argument of [`CREATE`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Create {
    /// Bytes: a multiple of [`PAGE_SIZE`], from [`MIN_SIZE`] to [`MAX_SIZE`].
    pub size: u64,
    /// The most memory that its data may take, in bytes, rounded down to pages; 0: no cap.
    pub memory_cap: u64,
    /// Bytes of a logical block: a power of two from [`MIN_BLOCK_SIZE`] to [`MAX_BLOCK_SIZE`].
    pub block_size: u32,
    /// No flag is defined: 0.
    pub flags: u32,
    /// Out: the index of the new disk.
    pub index: u32,
    /// 0.
    pub reserved: u32,
}

/// The argument of [`REMOVE`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Remove {
    /// Which disk.
    pub index: u32,
    /// 0 or [`REMOVE_FORCE`].
    pub flags: u32,
}

/// What [`LIST`], [`INFO`] and [`DISK_INFO`] tell. Counters start when the disk is made.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Info {
    /// Which disk. In and out.
    pub index: u32,
    /// [`INFO_MAPPER`].
    pub flags: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// The most memory that its data may take, in bytes; 0: no cap.
    pub memory_cap: u64,
    /// Pages of memory that its data takes now.
    pub pages_held: u64,
    /// Bytes of a logical block.
    pub block_size: u32,
    /// How often the disk and its partitions are open now.
    pub open_count: u32,
    /// How long a mapping program may take over one answer, in milliseconds.
    pub timeout_ms: u32,
    /// Requests that wait for a mapping program.
    pub held: u32,
    /// Requests by operation.
    pub reads: u64,
    /// See `reads`.
    pub writes: u64,
    /// See `reads`.
    pub flushes: u64,
    /// See `reads`.
    pub discards: u64,
    /// Requests to write zeroes. See `reads`.
    pub zeroes: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Requests that ended with an error.
    pub errors: u64,
}

/// The argument of [`REGISTER`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Register {
    /// Which disk.
    pub index: u32,
    /// 0.
    pub reserved: u32,
}

/// The argument of [`REQ_SIZE`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct ReqSize {
    /// In: the oldest held request with an id above this is wanted; 0 for the oldest of all. Ids grow.
    pub after: u64,
    /// Out: the request's id, never 0.
    pub id: u64,
    /// Out: bytes that the request moves.
    pub bytes: u64,
    /// In: how long to wait, in milliseconds; 0 not at all; or [`WAIT_FOREVER`].
    pub timeout_ms: u32,
    /// Out: entries in the request's map, 1 to [`MAX_MAP_ENTRIES`].
    pub entries: u32,
}

/// One logical page of a request, as [`GET_BLK`] tells it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct MapEntry {
    /// The page of the disk as its users see it.
    pub logical_page: u64,
    /// The physical page that it maps to now.
    pub physical_page: u64,
    /// The first sector touched, counted from the disk's beginning.
    pub start_sector: u64,
    /// How many sectors of this page are touched, 1 to 8.
    pub sectors: u32,
    /// [`DIRECTION_READ`] or [`DIRECTION_WRITE`]; the same in all entries of a request.
    pub direction: u32,
}

/// The answer for one logical page, as [`SET_BLK`] takes it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct MapAnswer {
    /// As in the [`MapEntry`].
    pub logical_page: u64,
    /// The physical page that holds the data now: read from, and the source of what a write leaves untouched.
    pub physical_page: u64,
    /// Write: the physical page that holds the data from now on (it may be the same). Read: must be `physical_page`.
    pub new_physical_page: u64,
}

/// The argument of [`GET_BLK`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct GetBlk {
    /// Which request.
    pub id: u64,
    /// Where to put the map: the address of an array of [`MapEntry`].
    pub entries: u64,
    /// In: the array's length. Out: the entries of the request.
    pub count: u32,
    /// 0.
    pub reserved: u32,
}

/// The argument of [`SET_BLK`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct SetBlk {
    /// Which request.
    pub id: u64,
    /// The address of an array of [`MapAnswer`].
    pub answers: u64,
    /// The array's length: as many as the request has entries.
    pub count: u32,
    /// Out: 0 if the data was moved, else the error number that the request ended with (`ENOSPC` over the
    /// memory cap, `ENOMEM`). Either way the request is over.
    pub error: u32,
}

/// The argument of [`SET_TIMEOUT`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct SetTimeout {
    /// Which disk.
    pub index: u32,
    /// Milliseconds, 1 to [`MAX_TIMEOUT_MS`].
    pub timeout_ms: u32,
}

// A size that changes here changes an ioctl's number: let it be on purpose.
const _: () = {
    assert!(size_of::<Create>() == 32);
    assert!(size_of::<Remove>() == 8);
    assert!(size_of::<Info>() == 112);
    assert!(size_of::<Register>() == 8);
    assert!(size_of::<ReqSize>() == 32);
    assert!(size_of::<MapEntry>() == 32);
    assert!(size_of::<MapAnswer>() == 24);
    assert!(size_of::<GetBlk>() == 24);
    assert!(size_of::<SetBlk>() == 24);
    assert!(size_of::<SetTimeout>() == 8);
};

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::ioctl::Ioctl;
    use std::collections::BTreeSet;
    use zerocopy::{FromBytes, IntoBytes};

    const CONTROL: [Ioctl; 9] = [
        CREATE.number(),
        REMOVE.number(),
        LIST.number(),
        INFO.number(),
        REGISTER.number(),
        REQ_SIZE.number(),
        GET_BLK.number(),
        SET_BLK.number(),
        SET_TIMEOUT.number(),
    ];

    #[test]
    fn every_ioctl_has_a_number_of_its_own() {
        let numbers: BTreeSet<u8> =
            CONTROL.iter().chain([&DISK_INFO.number()]).map(|ioctl| ioctl.nr()).collect();
        assert_eq!(numbers.len(), CONTROL.len() + 1);
        assert!(CONTROL.iter().all(|ioctl| ioctl.ty() == IOCTL_TYPE && ioctl.size() > 0));
    }

    #[test]
    fn the_numbers_are_an_abi() {
        assert_eq!(CREATE.number().raw(), 0xc020_bb00);
        assert_eq!(REMOVE.number().raw(), 0x4008_bb01);
        assert_eq!(REQ_SIZE.number().raw(), 0xc020_bb05);
        assert_eq!(DISK_INFO.number().raw(), 0x8070_bb40);
    }

    #[test]
    fn the_largest_request_fits_the_map() {
        let bytes = u64::from(MAX_REQUEST_SECTORS) * SECTOR_SIZE;
        // From the last sector of a page: the worst case.
        let first = PAGE_SIZE - SECTOR_SIZE;
        let pages = (first + bytes).div_ceil(PAGE_SIZE);
        assert_eq!(pages, u64::from(MAX_MAP_ENTRIES));
    }

    #[test]
    fn what_comes_from_user_space_is_read_byte_for_byte() {
        let bytes: std::vec::Vec<u8> = (0..24).collect();
        let answer = MapAnswer::read_from_bytes(&bytes).expect("24 bytes");
        assert_eq!(answer.logical_page, u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(answer.as_bytes(), &bytes[..]);
    }
}
