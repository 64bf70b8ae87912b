// SPDX-License-Identifier: GPL-2.0

//! The store itself: reading ranges of it, and writing over what is there. What takes memory is in
//! [`fill`], what gives it back in [`zero`](mod@zero). The parent module argues their concurrency.

mod fill;
mod zero;

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu,
    },
};

use super::{
    bytes::{copy_in, copy_out, zero_out},
    copying,
    page::Wait,
    table::{Chunk, ChunkSlot, Leaf, LeafSlot, Page, PageSlot, Run, CHUNK_PAGES, LEAF_CHUNKS},
};
use crate::{
    block::{Bio, Cursor, Segment},
    compat::rcu_barrier,
    flag::Flag,
};

/// Bytes of a page of the store.
pub const PAGE_SIZE: u64 = bindings::PAGE_SIZE as u64;

const CHUNK_SIZE: u64 = Run::SIZE as u64;
/// Bytes of data that a leaf covers.
const LEAF_SIZE: u64 = LEAF_CHUNKS as u64 * CHUNK_SIZE;

/// Why something was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// The range ends beyond the store.
    OutOfRange,
    /// The segment is a write's: its memory must not be changed.
    NotFillable,
    /// The store holds as many pages as it may.
    Full,
    /// There is no memory.
    NoMemory,
}

/// A sparse array of bytes. What was never written, or was discarded, reads as zeroes.
///
/// All methods may be called from any number of contexts at a time, in process context. Of a write
/// and a discard of the same bytes at a time, each page is left as one of the two orders would; of
/// two writes, each byte.
pub struct PageStore {
    leaves: KVVec<LeafSlot>,
    size: u64,
    cap: u64,
    held: Atomic<u64>,
    /// Whether `call_rcu()` was ever used, and dropping must wait for its callbacks.
    retired: Flag,
}

impl PageStore {
    /// A store of `size` bytes, which is rounded up to pages, that holds no more than `cap` pages
    /// at a time.
    pub fn new(size: u64, cap: Option<u64>) -> Result<Self> {
        copying::choose()?;
        let pages = size.div_ceil(PAGE_SIZE);
        let size = pages.checked_mul(PAGE_SIZE).ok_or(EOVERFLOW)?;
        let count = usize::try_from(size.div_ceil(LEAF_SIZE))?;
        let mut leaves = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            leaves.push(LeafSlot::new(), GFP_KERNEL)?;
        }
        Ok(Self {
            leaves,
            size,
            cap: cap.unwrap_or(u64::MAX),
            held: Atomic::new(0),
            retired: Flag::new(false),
        })
    }

    /// Pages of data held now.
    pub fn pages_held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Bytes of the store.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills the memory of a bio, which reads, with what is stored from byte `at` on.
    #[inline(always)]
    pub fn read(&self, at: u64, into: &Bio) -> Result<(), StoreError> {
        self.check(at, into.size().into())?;
        // What is found stays until the guard goes.
        let guard = rcu::read_lock();
        let mut at = at;
        for segment in into.segments() {
            self.read_into(at, &segment, &guard)?;
            at += segment.len() as u64;
        }
        Ok(())
    }

    /// As [`Self::read`], of one segment.
    pub fn read_segment(&self, at: u64, into: &Segment<'_>) -> Result<(), StoreError> {
        self.check(at, into.len() as u64)?;
        self.read_into(at, into, &rcu::read_lock())
    }

    #[inline(always)]
    fn read_into(
        &self,
        at: u64,
        segment: &Segment<'_>,
        guard: &rcu::Guard,
    ) -> Result<(), StoreError> {
        if !segment.is_fillable() {
            return Err(StoreError::NotFillable);
        }
        let to = segment.map();
        let len = segment.len();
        let mut done = 0;
        while done < len {
            let (found, n) = self.find(at + done as u64, len - done, guard);
            match found {
                // SAFETY: `find()` vouches for `from`, and both are valid for `n` bytes. They do
                // not overlap, since no memory of the store is in a bio.
                Some(from) => unsafe { copy_out(to.at(done), from.as_ptr(), n) },
                // SAFETY: The range is within the mapped segment.
                None => unsafe { zero_out(to.at(done), n) },
            }
            done += n;
        }
        Ok(())
    }

    /// Stores the memory of a bio from byte `at` on. After an error, a part from the beginning may
    /// have been stored.
    #[inline(always)]
    pub fn write(&self, at: u64, from: &Bio, wait: Wait) -> Result<(), StoreError> {
        self.check(at, from.size().into())?;
        let mut done = 0;
        {
            let guard = rcu::read_lock();
            for segment in from.segments() {
                let n = self.overwrite(at + done as u64, &segment, &guard);
                done += n;
                if n < segment.len() {
                    break;
                }
            }
        }
        if done == from.size() as usize {
            return Ok(());
        }
        let rest = Cursor::after(from.segments(), done);
        self.write_rest(at + done as u64, rest, wait)
    }

    /// As [`Self::write`], of one segment.
    pub fn write_segment(&self, at: u64, from: &Segment<'_>, wait: Wait) -> Result<(), StoreError> {
        self.check(at, from.len() as u64)?;
        self.write_rest(at, Cursor::of(*from), wait)
    }

    /// Stores what is left, where there are holes.
    #[inline(never)]
    fn write_rest(&self, mut at: u64, mut from: Cursor<'_>, wait: Wait) -> Result<(), StoreError> {
        while let Some(segment) = from.segment() {
            let done = self.overwrite(at, &segment, &rcu::read_lock());
            from.advance(done);
            at += done as u64;
            if done < segment.len() {
                at += self.fill(at, &mut from, wait)?;
            }
        }
        Ok(())
    }

    /// Copies a segment over what exists, up to the first hole. Returns how many bytes.
    #[inline(always)]
    fn overwrite(&self, at: u64, from: &Segment<'_>, guard: &rcu::Guard) -> usize {
        let memory = from.map();
        let len = from.len();
        let mut done = 0;
        while done < len {
            let (found, n) = self.find(at + done as u64, len - done, guard);
            let Some(to) = found else { break };
            // SAFETY: As in `read_into()`.
            unsafe { copy_in(to.as_ptr(), memory.at(done), n) };
            done += n;
        }
        done
    }

    /// Whether there is memory for the page at `at`. Another context may change that at once.
    fn exists(&self, at: u64) -> bool {
        self.page(at, &rcu::read_lock()).is_some()
    }

    /// The page at `at`, for as long as the guard is held.
    fn page(&self, at: u64, guard: &rcu::Guard) -> Option<NonNull<u8>> {
        self.find(at, Page::SIZE, guard).0
    }

    /// Looks up where byte `at` is, and how many bytes from there on, at most `len`, are in a row,
    /// or a hole. What is found is valid for reads and writes as long as the guard is held.
    #[inline(always)]
    fn find(&self, at: u64, len: usize, _guard: &rcu::Guard) -> (Option<NonNull<u8>>, usize) {
        let Some(leaf) = self.leaf(at) else {
            return (None, piece(at, len, CHUNK_SIZE).1);
        };
        let (start, (offset, n)) = match chunk_in(leaf, at).get() {
            Chunk::Run(run) => (Some(run), piece(at, len, CHUNK_SIZE)),
            Chunk::Pages(table) => (page_in(table, at).get(), piece(at, len, PAGE_SIZE)),
            Chunk::Hole => (None, piece(at, len, CHUNK_SIZE)),
        };
        // SAFETY: The offset is within what is there.
        (start.map(|start| unsafe { start.add(offset) }), n)
    }

    #[inline(always)]
    fn leaf(&self, at: u64) -> Option<&Leaf> {
        self.leaves.get((at / LEAF_SIZE) as usize)?.get()
    }

    /// Counts more pages, unless that is too many.
    fn reserve(&self, pages: u64) -> Result<(), StoreError> {
        // Counting first and looking after: at the edge two may both be refused, but never one too
        // many let in.
        if self.held.fetch_add(pages, Relaxed).saturating_add(pages) <= self.cap {
            return Ok(());
        }
        self.unreserve(pages);
        Err(StoreError::Full)
    }

    fn unreserve(&self, pages: u64) {
        self.held.fetch_sub(pages, Relaxed);
    }

    #[inline(always)]
    fn check(&self, at: u64, len: u64) -> Result<(), StoreError> {
        match at.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(StoreError::OutOfRange),
        }
    }

    /// The first byte of a page, by its number.
    fn page_start(&self, index: u64) -> Result<u64, StoreError> {
        if index < self.size / PAGE_SIZE {
            Ok(index * PAGE_SIZE)
        } else {
            Err(StoreError::OutOfRange)
        }
    }
}

impl Drop for PageStore {
    fn drop(&mut self) {
        // The memory that is left goes with `leaves`. What discard retired goes by callbacks, whose
        // code is in this module.
        if self.retired.get() {
            rcu_barrier();
        }
    }
}

#[inline(always)]
fn chunk_in(leaf: &Leaf, at: u64) -> &ChunkSlot {
    &leaf[(at / CHUNK_SIZE) as usize % LEAF_CHUNKS]
}

#[inline(always)]
fn page_in(table: &[PageSlot; CHUNK_PAGES], at: u64) -> &PageSlot {
    &table[(at / PAGE_SIZE) as usize % CHUNK_PAGES]
}

/// The part of a range that lies in one unit, a page or a chunk: the offset in it, and how many
/// bytes.
#[inline(always)]
fn piece(at: u64, len: usize, unit: u64) -> (usize, usize) {
    let offset = (at % unit) as usize;
    (offset, len.min(unit as usize - offset))
}
