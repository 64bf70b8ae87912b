// SPDX-License-Identifier: GPL-2.0

//! Copying to and from the memory of a bio, in pieces of the copier's choice.

use crate::mem::bytes;

use super::{Segment, Segments};

/// A place in the memory of a bio, which moves on as bytes are copied.
///
/// Segments may begin and end anywhere, also within a sector. Who works by sectors or pages takes
/// as many bytes as it wants, from however many segments they come.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    rest: Segments<'a>,
    segment: Option<Segment<'a>>,
}

/// The bio's memory must not be changed: it is not a read.
pub(crate) struct NotFillable;

impl<'a> Cursor<'a> {
    /// The beginning of the memory.
    #[inline]
    pub(crate) fn new(mut segments: Segments<'a>) -> Self {
        let segment = segments.next();
        Self {
            rest: segments,
            segment,
        }
    }

    /// Takes the next piece that is contiguous, of at most `len` bytes.
    #[inline]
    fn next(&mut self, len: usize) -> Option<Segment<'a>> {
        let segment = self.segment?;
        let Some((piece, rest)) = segment.split_at(len) else {
            self.segment = self.rest.next();
            return Some(segment);
        };
        self.segment = Some(rest);
        Some(piece)
    }

    /// Copies the next `len` bytes to `to`; fewer only if the bio has no more. Returns how many.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writes of `len` bytes, which are in no bio.
    #[inline]
    pub(crate) unsafe fn copy_to(&mut self, to: *mut u8, len: usize) -> usize {
        let mut done = 0;
        while done < len {
            let Some(piece) = self.next(len - done) else {
                break;
            };
            // SAFETY: The caller vouches for `to`, and the piece is no longer than what is left of
            // it.
            unsafe { bytes::copy(to.add(done), piece.map().at(0), piece.len()) };
            done += piece.len();
        }
        done
    }

    /// Fills the next `len` bytes with those at `from`.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reads of `len` bytes, which are in no bio.
    #[inline]
    pub(crate) unsafe fn fill(&mut self, from: *const u8, len: usize) -> Result<(), NotFillable> {
        let mut done = 0;
        while let Some(piece) = self.next_fillable(len - done)? {
            // SAFETY: The caller vouches for `from`, and the piece is no longer than what is left
            // of it; it may be changed.
            unsafe { bytes::copy(piece.map().at(0), from.add(done), piece.len()) };
            done += piece.len();
        }
        Ok(())
    }

    /// Fills the next `len` bytes with zeroes.
    pub(crate) fn zero(&mut self, mut len: usize) -> Result<(), NotFillable> {
        while let Some(piece) = self.next_fillable(len)? {
            // SAFETY: The piece is mapped, and may be changed.
            unsafe { bytes::zero(piece.map().at(0), piece.len()) };
            len -= piece.len();
        }
        Ok(())
    }

    #[inline]
    fn next_fillable(&mut self, len: usize) -> Result<Option<Segment<'a>>, NotFillable> {
        if len == 0 {
            return Ok(None);
        }
        match self.next(len) {
            Some(piece) if !piece.is_fillable() => Err(NotFillable),
            piece => Ok(piece),
        }
    }
}
