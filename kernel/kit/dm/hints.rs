// SPDX-License-Identifier: GPL-2.0

//! The limits of a mapped device, as a target may change them.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use kernel::bindings;

/// Limits that were stacked from those of the devices below, and that a target can tighten, or set
/// where it does the work itself. Sizes are bytes, and lengths sectors, as their names say.
#[doc(alias = "queue_limits")]
pub struct Hints<'a>(pub(super) &'a mut bindings::queue_limits);

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident, $set:ident;)*) => {
        impl Hints<'_> {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u32 {
                    self.0.$name
                }

                #[doc = concat!("Sets [`Self::", stringify!($name), "`].")]
                pub fn $set(&mut self, value: u32) {
                    self.0.$name = value;
                }
            )*
        }
    };
}

limits! {
    /// Bytes of the smallest addressable unit.
    logical_block_size, set_logical_block_size;
    /// Bytes of the unit that is written without reading.
    physical_block_size, set_physical_block_size;
    /// Bytes of the smallest I/O that is not wasteful.
    io_min, set_io_min;
    /// Bytes of the best I/O; 0 if unknown.
    io_opt, set_io_opt;
    /// Sectors between boundaries that bios are best split at; 0 for none.
    chunk_sectors, set_chunk_sectors;
    /// Sectors of the longest bio.
    max_hw_sectors, set_max_hw_sectors;
    /// Sectors of the longest discard; 0 for no support.
    max_hw_discard_sectors, set_max_hw_discard_sectors;
    /// Bytes of the unit that a discard gives back.
    discard_granularity, set_discard_granularity;
    /// Sectors of the longest write of zeroes; 0 for no support.
    max_write_zeroes_sectors, set_max_write_zeroes_sectors;
}
