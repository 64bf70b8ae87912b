// SPDX-License-Identifier: GPL-2.0

//! The memory of a bio: a list of segments, each contiguous.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::bindings;

use super::Bio;
use crate::compat;

const PAGE_SIZE: usize = bindings::PAGE_SIZE;

/// A contiguous piece of a bio's memory, of one or more pages, and where on the disk it belongs.
///
/// Its bytes can change at any time: the pages may be mapped by user space. So there is no way to
/// get a reference to them.
///
/// # Invariants
///
/// `page` and the pages after it are there, up to `offset + len` bytes, as long as `'a`; `offset`
/// is less than a page; with `CONFIG_HIGHMEM`, `offset + len` is at most a page. `fillable` only if
/// they are a read's: those of a write may be anybody's (the zero page, a file mapped read-only).
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    page: NonNull<bindings::page>,
    offset: usize,
    len: usize,
    position: u64,
    fillable: bool,
    _bio: PhantomData<&'a Bio>,
}

impl<'a> Segment<'a> {
    /// Bytes, never 0.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The byte of the disk that this segment begins at.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether its bytes may be changed.
    #[inline(always)]
    pub(crate) fn is_fillable(&self) -> bool {
        self.fillable
    }

    /// The page that it begins in, the offset there, and its length.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> (*mut bindings::page, usize, usize) {
        (self.page.as_ptr(), self.offset, self.len)
    }

    /// Divides the segment after `at` bytes; `None` if nothing is left for one of the two parts.
    pub fn split_at(self, at: usize) -> Option<(Self, Self)> {
        if at == 0 || at >= self.len {
            return None;
        }
        let start = self.offset + at;
        // INVARIANT: Both parts lie in the range of the whole, and the second one's page is the one
        // it begins in.
        let first = Self { len: at, ..self };
        let second = Self {
            // SAFETY: Within the range of the whole; a bio's multi-page segments are contiguous in
            // the page array.
            page: unsafe { self.page.add(start / PAGE_SIZE) },
            offset: start % PAGE_SIZE,
            len: self.len - at,
            position: self.position + at as u64,
            ..self
        };
        Some((first, second))
    }

    /// Maps the bytes for the current task.
    #[inline]
    pub(crate) fn map(&self) -> Mapped<'a> {
        // SAFETY: By the type invariant the page is there. Without highmem the address of the first
        // page of contiguous ones is the address of all of them; with it the segment lies in one
        // page. `Mapped` undoes the mapping.
        let page = unsafe { bindings::kmap_local_page(self.page.as_ptr()) };
        Mapped {
            page: page.cast(),
            offset: self.offset,
            _bio: PhantomData,
        }
    }
}

/// A mapped segment.
pub(crate) struct Mapped<'a> {
    page: *mut u8,
    offset: usize,
    _bio: PhantomData<&'a Bio>,
}

impl Mapped<'_> {
    /// The address of a byte of the segment.
    #[inline(always)]
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        self.page.wrapping_add(self.offset + offset)
    }
}

impl Drop for Mapped<'_> {
    #[inline]
    fn drop(&mut self) {
        // Without such a mapping the address is the direct map's, and unmapping an empty function.
        if !cfg!(CONFIG_KMAP_LOCAL) {
            return;
        }
        // SAFETY: Mapped in `Segment::map()`, by this task as the type is not `Send`.
        unsafe { bindings::kunmap_local(self.page.cast()) };
    }
}

/// The segments of a bio, in the order of the disk.
///
/// # Invariants
///
/// `vec[index]`, from `done` bytes on, is part of a bio's memory if `left` is not 0. `fillable`
/// only if that bio is a read.
#[derive(Clone)]
pub struct Segments<'a> {
    vec: *const bindings::bio_vec,
    index: usize,
    done: usize,
    left: usize,
    position: u64,
    fillable: bool,
    _bio: PhantomData<&'a Bio>,
}

impl<'a> Segments<'a> {
    /// # Safety
    ///
    /// `bio` must be valid and keep its memory as long as `'a`, and have data. `fillable` only if
    /// it is a read.
    #[inline]
    pub(super) unsafe fn new(bio: *const bindings::bio, fillable: bool) -> Self {
        // SAFETY: By the function's contract. The iterator is packed, so it is copied and not
        // borrowed.
        let (vec, iter) = unsafe { ((*bio).bi_io_vec, (*bio).bi_iter) };
        // INVARIANT: That is what a bio's iterator says, and the caller.
        Self {
            vec,
            index: iter.bi_idx as usize,
            done: compat::bio_iter_offset(&iter),
            left: iter.bi_size as usize,
            position: iter.bi_sector * super::SECTOR_SIZE,
            fillable,
            _bio: PhantomData,
        }
    }
}

impl Segments<'_> {
    /// Bytes of the segments that are left.
    #[inline]
    pub fn bytes_left(&self) -> usize {
        self.left
    }

    /// No segment.
    #[inline]
    pub(super) fn empty() -> Self {
        // INVARIANT: Nothing is left.
        Self {
            vec: core::ptr::null(),
            index: 0,
            done: 0,
            left: 0,
            position: 0,
            fillable: false,
            _bio: PhantomData,
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        if self.left == 0 {
            return None;
        }
        // SAFETY: By the type invariant, as there is data left. Nobody changes the vector while the
        // bio is under way.
        let vec = unsafe { &*self.vec.add(self.index) };
        let start = vec.bv_offset as usize + self.done;
        let offset = start % PAGE_SIZE;
        let mut len = self.left.min(vec.bv_len as usize - self.done);
        if cfg!(CONFIG_HIGHMEM) {
            len = len.min(PAGE_SIZE - offset);
        }
        let segment = Segment {
            // SAFETY: The vector names pages that are there; several of them are contiguous in the
            // page array.
            page: unsafe { NonNull::new_unchecked(vec.bv_page.add(start / PAGE_SIZE)) },
            offset,
            len,
            position: self.position,
            fillable: self.fillable,
            _bio: PhantomData,
        };
        self.advance(len, vec.bv_len as usize);
        Some(segment)
    }
}

impl Segments<'_> {
    #[inline]
    fn advance(&mut self, len: usize, vec_len: usize) {
        self.left -= len;
        self.position += len as u64;
        self.done += len;
        if self.done == vec_len {
            self.index += 1;
            self.done = 0;
        }
    }
}
