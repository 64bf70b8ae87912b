// SPDX-License-Identifier: GPL-2.0

//! Bio-based block devices: drivers that take each bio as it is submitted, without a request queue.
//!
//! The `kernel` crate's `block::mq` is for devices with a queue. It has no access to bios, no open,
//! release or ioctl, and no minors. A driver that can complete at once, or that remaps, is simpler
//! and faster without all that.
//!
//! # To write a driver
//!
//! - Implement [`Operations`]: what happens to a bio, and optionally on open, release and ioctl.
//! - Register a [`Major`], one for the module.
//! - Make each disk by [`DiskBuilder`], with [`Limits`], a capacity, and the driver's data for it.
//!   The [`Disk`] that comes back is on until it is dropped.
//! - Keep the disks before the major in the struct that owns both: fields are dropped in order, and
//!   dropping the major waits until all disks have gone.
//!
//! # The life of a bio
//!
//! A [`Bio`] is owned by the driver from [`Operations::submit_bio`] on. It may be completed there
//! or kept and completed at any later time, from any context but an NMI. [`Bio::complete`] takes it
//! by value, so it cannot be completed twice; and dropping one completes it with an I/O error, so
//! that none is ever lost.
//!
//! # The life of a disk
//!
//! | step | what happens |
//! |---|---|
//! | [`DiskBuilder::build`] | the disk appears, its partitions are scanned, it may be opened |
//! | [`Disk::retire`] | succeeds only if nobody has it open, and from then on nobody can open it |
//! | dropping the [`Disk`] | [`Operations::dying`]; if it is open dirty pages are written, if they will be kept ([`Operations::KEEPS_DATA`]), and all I/O fails from now on; then the disk goes |
//! | the last file is closed | the driver's data for the disk is dropped |
//!
//! Whether the disk is open is one number, with a mark for "dying" in the same word: opening adds
//! one unless the mark is there, retiring sets the mark only if the number is 0. So no open slips
//! in between (see [`disk`]).
//!
//! # Counterparts in C
//!
//! | here | there |
//! |---|---|
//! | [`Operations`] | `struct block_device_operations` |
//! | [`Bio`], [`Segment`] | `struct bio`, `struct bio_vec` |
//! | [`Disk`], [`DiskBuilder`] | `struct gendisk`, `blk_alloc_disk()`, `add_disk()`, `del_gendisk()` |
//! | [`Limits`] | `struct queue_limits` |
//! | [`Major`] | `register_blkdev()` |
//! | [`Status`] | `blk_status_t` |
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

mod attributes;
mod bio;
mod builder;
mod counters;
mod cursor;
pub mod disk;
mod limits;
mod major;
mod operations;
mod segment;
mod status;

pub use self::bio::{Bio, Op};
pub use self::builder::DiskBuilder;
pub use self::counters::{Counters, Totals};
pub(crate) use self::cursor::{Cursor, NotFillable};
pub use self::disk::Disk;
pub use self::limits::Limits;
pub use self::major::Major;
pub use self::operations::Operations;
pub use self::segment::{Segment, Segments};
pub use self::status::Status;

/// Bytes of a sector, the block layer's unit.
pub const SECTOR_SIZE: u64 = 512;
