// SPDX-License-Identifier: GPL-2.0

//! Where things are: which stripe has a sector, and what part of a range.
//!
//! With 3 stripes, chunks and rows are numbered like this:
//!
//! ```text
//!          stripe 0  stripe 1  stripe 2
//! row 0    chunk 0   chunk 1   chunk 2
//! row 1    chunk 3   chunk 4   chunk 5
//! ```

use core::num::NonZeroU32;

use kernel::fmt;
use kit::{block::SECTOR_SIZE, dm::Hints};

/// A number to divide by, often.
///
/// Powers of two, which are usual, are divided by without a division.
#[derive(Clone, Copy)]
struct Divisor {
    value: NonZeroU32,
    shift: Option<u32>,
}

impl Divisor {
    fn new(value: NonZeroU32) -> Self {
        let shift = value.is_power_of_two().then(|| value.trailing_zeros());
        Self { value, shift }
    }

    /// The quotient and the remainder.
    #[inline]
    fn divide(self, number: u64) -> (u64, u64) {
        let value = u64::from(self.value.get());
        match self.shift {
            // A shift is less than 32, which the compiler cannot know.
            Some(shift) => (number.wrapping_shr(shift), number & (value - 1)),
            None => (number / value, number % value),
        }
    }

    fn get(self) -> u32 {
        self.value.get()
    }
}

/// How a target is divided.
pub(crate) struct Layout {
    stripes: Divisor,
    chunk: Divisor,
}

/// Why there is no such layout.
pub(crate) enum Wrong {
    /// One stripe is not more than a linear mapping, and none nothing.
    TooFewStripes,
    /// A chunk has at least one sector.
    EmptyChunk,
    /// A whole number of rows is needed.
    Uneven {
        /// The sectors of the target.
        len: u64,
        /// The sectors of a row.
        row: u64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewStripes => f.write_str("argument 1 (number of stripes) must be 2 or more"),
            Self::EmptyChunk => f.write_str("argument 2 (sectors of a chunk) must be 1 or more"),
            Self::Uneven { len, row } => write!(
                f,
                "the length, {len} sectors, is no multiple of a row, {row} sectors"
            ),
        }
    }
}

impl Layout {
    /// The layout of `len` sectors in `stripes` stripes of chunks of `chunk` sectors.
    pub(crate) fn new(stripes: u32, chunk: u32, len: u64) -> Result<Self, Wrong> {
        let row = u64::from(stripes) * u64::from(chunk);
        let Some(stripes) = NonZeroU32::new(stripes).filter(|n| n.get() > 1) else {
            return Err(Wrong::TooFewStripes);
        };
        let Some(chunk) = NonZeroU32::new(chunk) else {
            return Err(Wrong::EmptyChunk);
        };
        if !len.is_multiple_of(row) {
            return Err(Wrong::Uneven { len, row });
        }
        let (stripes, chunk) = (Divisor::new(stripes), Divisor::new(chunk));
        Ok(Self { stripes, chunk })
    }

    /// How many stripes.
    pub(crate) fn stripes(&self) -> u32 {
        self.stripes.get()
    }

    /// Sectors of a chunk.
    pub(crate) fn chunk(&self) -> u32 {
        self.chunk.get()
    }

    /// How many arguments say all that.
    pub(crate) fn arguments(&self) -> usize {
        2 + 2 * self.stripes() as usize
    }

    /// Sectors of one stripe, of a target of `len`.
    pub(crate) fn width(&self, len: u64) -> u64 {
        self.stripes.divide(len).0
    }

    /// The stripe that has a sector, and the sector of it.
    #[inline]
    pub(crate) fn locate(&self, sector: u64) -> (u32, u64) {
        let (chunk, offset) = self.chunk.divide(sector);
        let (row, stripe) = self.stripes.divide(chunk);
        (stripe as u32, row * u64::from(self.chunk()) + offset)
    }

    /// The part of a range that one stripe has: its first sector there, and how many.
    pub(crate) fn part(&self, sector: u64, len: u32, stripe: u32) -> Option<(u64, u32)> {
        let begin = self.next_on(sector, stripe);
        let end = self.next_on(sector + u64::from(len), stripe);
        (begin < end).then(|| (begin, (end - begin) as u32))
    }

    /// The sector of a stripe that has the first sector from `sector` on that is on the stripe.
    fn next_on(&self, sector: u64, stripe: u32) -> u64 {
        let (owner, on_owner) = self.locate(sector);
        let in_chunk = self.chunk.divide(on_owner).1;
        let row_begin = on_owner - in_chunk;
        match owner.cmp(&stripe) {
            core::cmp::Ordering::Equal => on_owner,
            // Its chunk of this row is still to come.
            core::cmp::Ordering::Less => row_begin,
            core::cmp::Ordering::Greater => row_begin + u64::from(self.chunk()),
        }
    }

    /// Says which I/O suits the layout: whole chunks, best whole rows.
    ///
    /// A discard is divided among the stripes, so that a longer one is possible than on any of
    /// them.
    pub(crate) fn hint(&self, hints: &mut Hints<'_>) {
        let chunk = self.chunk();
        hints.set_chunk_sectors(chunk);
        let row = chunk.checked_mul(self.stripes());
        let bytes = |sectors: u32| sectors.checked_mul(SECTOR_SIZE as u32);
        if let (Some(chunk), Some(row)) = (bytes(chunk), row.and_then(bytes)) {
            hints.set_io_min(chunk);
            hints.set_io_opt(row);
        }
        let discard = hints.max_hw_discard_sectors();
        if let (true, Some(row)) = (discard >= chunk, row.and_then(NonZeroU32::new)) {
            let longest = discard.saturating_mul(self.stripes()).min(u32::MAX >> 9);
            // Whole rows, so that the next one begins at one, too; if a row fits at all.
            let remainder = if longest >= row.get() {
                longest % row
            } else {
                0
            };
            hints.set_max_hw_discard_sectors(longest - remainder);
        }
    }
}
