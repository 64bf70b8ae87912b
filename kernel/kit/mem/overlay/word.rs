// SPDX-License-Identifier: GPL-2.0

//! What an entry of an overlay's tree says, in one word: so that it is read at once, and changed by
//! one compare-and-exchange.
//!
//! It knows nothing of the kernel, so that the same file is compiled into tests on the host.

use core::ptr::NonNull;

/// Sectors of a page: as many as the bits of a mask.
pub(super) const SECTORS: u64 = 8;

/// Bytes of a page, and of a table.
pub(super) const PAGE: usize = 512 * SECTORS as usize;

/// The mask of a page of which all sectors are ours.
pub(super) const ALL: u8 = 0xff;

/// Beside the mask, in the bits that an aligned pointer leaves free.
const ZEROES: usize = 1 << 8;

/// An entry's contents. What it is about is a page's worth of sectors, or the range of a table.
///
/// | | it is | |
/// |---|---|---|
/// | null | below | no sector of the range is ours |
/// | [`ZEROES`] | zeroes | all are ours, and zero |
/// | a pointer, with a mask | a page | the sectors with a bit in the mask are ours, and in the page |
/// | a pointer, without | a table | its entries say |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word(*mut u8);

impl Word {
    /// No sector of the range is ours.
    pub(super) const BELOW: Self = Self(core::ptr::null_mut());

    /// All sectors of the range are ours, and zero.
    pub(super) const ZEROES: Self = Self(core::ptr::null_mut::<u8>().wrapping_add(ZEROES));

    /// A page, of which the sectors in `mask` are ours. The pointer is aligned to [`PAGE`].
    #[inline(always)]
    pub(super) fn page(at: NonNull<u8>, mask: u8) -> Self {
        Self(at.as_ptr().wrapping_add(mask as usize))
    }

    /// A table. The pointer is aligned to [`PAGE`].
    #[inline(always)]
    pub(super) fn table(at: NonNull<u8>) -> Self {
        Self(at.as_ptr())
    }

    /// From the word in memory.
    #[inline(always)]
    pub(super) fn from_raw(raw: *mut u8) -> Self {
        Self(raw)
    }

    /// The word for memory.
    #[inline(always)]
    pub(super) fn into_raw(self) -> *mut u8 {
        self.0
    }

    /// The page or table.
    #[inline(always)]
    pub(super) fn pointer(self) -> Option<NonNull<u8>> {
        NonNull::new(self.0.map_addr(|address| address & !(PAGE - 1)))
    }

    /// Whether all sectors are ours, and zero, without a page.
    #[inline(always)]
    pub(super) fn is_zeroes(self) -> bool {
        self == Self::ZEROES
    }

    /// The sectors of a page that are ours.
    #[inline(always)]
    fn mask(self) -> u8 {
        self.0.addr() as u8
    }

    /// Whether all of these sectors of a page are ours.
    #[inline(always)]
    pub(super) fn has(self, mask: u8) -> bool {
        self.mask() & mask == mask
    }

    /// The same page, and these sectors are ours, too.
    #[inline(always)]
    pub(super) fn with(self, mask: u8) -> Self {
        Self(self.0.map_addr(|address| address | mask as usize))
    }

    /// Whether sector `first` of a page is ours, and how many from there on, at most `most` and up
    /// to the end of the page, are alike. `first` is less than [`SECTORS`].
    #[inline]
    pub(super) fn run(self, first: u64, most: u64) -> (bool, u64) {
        let from_first = self.mask() >> first;
        let ours = from_first & 1 != 0;
        let like = if ours {
            from_first.trailing_ones()
        } else {
            from_first.trailing_zeros()
        };
        (ours, u64::from(like).min(SECTORS - first).min(most))
    }
}

/// A range of sectors within one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// The number of the page.
    pub(super) page: u64,
    /// The first sector, counted in the page.
    pub(super) first: u64,
    /// How many; at least one.
    pub(super) sectors: u64,
}

impl Piece {
    /// As much of the range `at..end`, which is not empty, as is in one page.
    #[inline(always)]
    pub(super) fn first_of(at: u64, end: u64) -> Self {
        let first = at % SECTORS;
        Self {
            page: at / SECTORS,
            first,
            sectors: (end - at).min(SECTORS - first),
        }
    }

    /// The bits of its sectors.
    #[inline(always)]
    pub(super) fn mask(self) -> u8 {
        (ALL >> (SECTORS - self.sectors)) << self.first
    }

    /// The byte of the page that it begins at.
    #[inline(always)]
    pub(super) fn offset(self) -> usize {
        self.first as usize * 512
    }

    /// How many bytes.
    #[inline(always)]
    pub(super) fn bytes(self) -> usize {
        self.sectors as usize * 512
    }
}
