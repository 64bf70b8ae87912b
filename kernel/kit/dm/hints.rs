// SPDX-License-Identifier: GPL-2.0

//! The limits of a mapped device, as a target may change them.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use kernel::bindings;

use crate::block::SECTOR_SIZE;

/// Limits that were stacked from those of the devices below, and that a target can tighten, or set
/// where it does the work itself. Sizes are bytes, and lengths sectors, as their names say.
///
/// The device mapper stacks what is set here into the table's limits before anybody validates it,
/// and divides by the sizes in sectors. So what is less than a sector is raised to one, and a block
/// size to a power of two.
#[doc(alias = "queue_limits")]
pub struct Hints<'a>(pub(super) &'a mut bindings::queue_limits);

/// Bytes of the smallest size that there is.
const SECTOR: u32 = SECTOR_SIZE as u32;

/// As it is.
fn any(value: u32) -> u32 {
    value
}

/// At least a sector.
fn at_least_a_sector(bytes: u32) -> u32 {
    bytes.max(SECTOR)
}

/// At least a sector, or nothing.
fn a_sector_or_none(bytes: u32) -> u32 {
    if bytes == 0 {
        0
    } else {
        at_least_a_sector(bytes)
    }
}

/// The smallest power of two that is not less, or the largest that there is.
fn power_of_two(bytes: u32) -> u32 {
    let largest = 1 << (u32::BITS - 1);
    at_least_a_sector(bytes).min(largest).next_power_of_two()
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident, $set:ident, $sensible:ident;)*) => {
        impl Hints<'_> {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u32 {
                    self.0.$name
                }

                #[doc = concat!("Sets [`Self::", stringify!($name), "`].")]
                pub fn $set(&mut self, value: u32) {
                    self.0.$name = $sensible(value);
                }
            )*
        }
    };
}

limits! {
    /// Bytes of the smallest addressable unit: a power of two from 512 on. Any other is raised to
    /// the next one; one that is larger than the kernel knows has the table refused.
    logical_block_size, set_logical_block_size, power_of_two;
    /// Bytes of the unit that is written without reading: as [`Self::logical_block_size`], and as
    /// large as anybody likes.
    physical_block_size, set_physical_block_size, power_of_two;
    /// Bytes of the smallest I/O that is not wasteful: 512 or more, to which less is raised.
    io_min, set_io_min, at_least_a_sector;
    /// Bytes of the best I/O; 0 if unknown.
    io_opt, set_io_opt, any;
    /// Sectors between boundaries that bios are best split at; 0 for none.
    chunk_sectors, set_chunk_sectors, any;
    /// Sectors of the longest bio.
    max_hw_sectors, set_max_hw_sectors, any;
    /// Sectors of the longest discard; 0 for no support.
    max_hw_discard_sectors, set_max_hw_discard_sectors, any;
    /// Bytes of the unit that a discard gives back: 512 or more, to which less is raised; 0 for no
    /// support.
    discard_granularity, set_discard_granularity, a_sector_or_none;
    /// Sectors of the longest write of zeroes; 0 for no support.
    max_write_zeroes_sectors, set_max_write_zeroes_sectors, any;
}
