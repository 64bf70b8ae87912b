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

    /// The memory of a segment alone.
    #[inline]
    pub(crate) fn of(segment: Segment<'a>) -> Self {
        Self {
            rest: Segments::empty(),
            segment: Some(segment),
        }
    }

    /// The memory less its first `len` bytes.
    #[cold]
    pub(crate) fn after(segments: Segments<'a>, len: usize) -> Self {
        let mut cursor = Self::new(segments);
        let mut left = len;
        while let (1.., Some(segment)) = (left, cursor.segment()) {
            let n = left.min(segment.len());
            cursor.advance(n);
            left -= n;
        }
        cursor
    }

    /// Bytes from here to the end.
    #[inline(always)]
    pub(crate) fn bytes_left(&self) -> usize {
        self.segment.map_or(0, |segment| segment.len()) + self.rest.bytes_left()
    }

    /// What is left of the segment that this is in; `None` at the end.
    #[inline(always)]
    pub(crate) fn segment(&self) -> Option<Segment<'a>> {
        self.segment
    }

    /// Moves on, at most to the end of the segment that this is in.
    #[inline(always)]
    pub(crate) fn advance(&mut self, len: usize) {
        if len > 0 {
            let _ = self.next(len);
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
            unsafe { bytes::copy_in(to.add(done), piece.map().at(0), piece.len()) };
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
            unsafe { bytes::copy_out(piece.map().at(0), from.add(done), piece.len()) };
            done += piece.len();
        }
        Ok(())
    }

    /// Fills the next `len` bytes with zeroes.
    pub(crate) fn zero(&mut self, mut len: usize) -> Result<(), NotFillable> {
        while let Some(piece) = self.next_fillable(len)? {
            // SAFETY: The piece is mapped, and may be changed.
            unsafe { bytes::zero_out(piece.map().at(0), piece.len()) };
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
