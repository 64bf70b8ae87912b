// SPDX-License-Identifier: GPL-2.0

//! The store itself: reading, writing and zeroing ranges of it. The parent module argues its
//! concurrency.

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
    bytes::{copy, zero},
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
                Some(from) => unsafe { copy(to.at(done), from.as_ptr(), n) },
                // SAFETY: The range is within the mapped segment.
                None => unsafe { zero(to.at(done), n) },
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
            unsafe { copy(to.as_ptr(), memory.at(done), n) };
            done += n;
        }
        done
    }

    /// Puts memory with the next bytes where there is none. Returns how many bytes; 0 if somebody
    /// else was faster, so that there is something to copy over.
    #[inline(never)]
    fn fill(&self, at: u64, from: &mut Cursor<'_>, wait: Wait) -> Result<u64, StoreError> {
        let leaf = self.leaves.get((at / LEAF_SIZE) as usize);
        let leaf = leaf.ok_or(StoreError::OutOfRange)?.get_or_make(wait)?;
        let slot = chunk_in(leaf, at);
        let whole = at.is_multiple_of(CHUNK_SIZE) && from.bytes_left() as u64 >= CHUNK_SIZE;
        match slot.get() {
            Chunk::Hole if whole => {
                if let Some(filled) = self.fill_run(slot, from) {
                    return Ok(filled);
                }
                slot.make_table(wait)?;
                Ok(0)
            }
            Chunk::Hole => {
                slot.make_table(wait)?;
                Ok(0)
            }
            Chunk::Pages(table) => self.fill_page(page_in(table, at), at, from, wait),
            Chunk::Run(_) => Ok(0),
        }
    }

    /// Gives a chunk all of its memory in a row. `None` if there is none to be had without effort,
    /// or not that much is left of the cap: then pages will have to do.
    fn fill_run(&self, slot: &ChunkSlot, from: &mut Cursor<'_>) -> Option<u64> {
        const PAGES: u64 = CHUNK_PAGES as u64;
        self.reserve(PAGES).ok()?;
        let Some(run) = Run::new(Wait::Forbidden) else {
            self.unreserve(PAGES);
            return None;
        };
        let mut after = from.clone();
        // SAFETY: The run has as many bytes, and nobody else knows it yet. There is memory of the
        // bio for all of them.
        unsafe { after.copy_to(run.as_ptr().as_ptr(), Run::SIZE) };
        if slot.put_run(run).is_err() {
            self.unreserve(PAGES);
            return Some(0);
        }
        *from = after;
        Some(CHUNK_SIZE)
    }

    /// Gives a page its memory.
    fn fill_page(
        &self,
        slot: &PageSlot,
        at: u64,
        from: &mut Cursor<'_>,
        wait: Wait,
    ) -> Result<u64, StoreError> {
        let (offset, n) = piece(at, from.bytes_left(), PAGE_SIZE);
        let mut after = from.clone();
        let filled = self.publish(slot, n == Page::SIZE, wait, |page| {
            // SAFETY: Nobody else knows the page yet, and `piece()` keeps within it and what is
            // left.
            unsafe { after.copy_to(page.as_ptr().as_ptr().add(offset), n) };
        })?;
        if !filled {
            return Ok(0);
        }
        *from = after;
        Ok(n as u64)
    }

    /// Puts a new page, filled by `fill`, into a slot; says whether it was put in. The page begins
    /// full of zeroes unless `fill` writes the `whole` of it.
    fn publish(
        &self,
        slot: &PageSlot,
        whole: bool,
        wait: Wait,
        fill: impl FnOnce(&Page),
    ) -> Result<bool, StoreError> {
        self.reserve(1)?;
        let page = if whole {
            Page::new(wait)
        } else {
            Page::zeroed(wait)
        };
        let Some(page) = page else {
            self.unreserve(1);
            return Err(StoreError::NoMemory);
        };
        fill(&page);
        let published = slot.put(page).is_ok();
        if !published {
            self.unreserve(1);
        }
        Ok(published)
    }

    /// Makes physical page `to` a copy of page `from`.
    pub fn copy_page(&self, from: u64, to: u64, wait: Wait) -> Result<(), StoreError> {
        let (from, to) = (self.page_start(from)?, self.page_start(to)?);
        if from == to {
            return Ok(());
        }
        loop {
            if !self.exists(from) {
                return self.zero(to, PAGE_SIZE, true);
            }
            if self.copy_over(from, to) {
                return Ok(());
            }
            let leaf = self.leaves.get((to / LEAF_SIZE) as usize);
            let leaf = leaf.ok_or(StoreError::OutOfRange)?.get_or_make(wait)?;
            let chunk = chunk_in(leaf, to);
            match chunk.get() {
                Chunk::Hole => chunk.make_table(wait)?,
                Chunk::Run(_) => {}
                // The page begins with zeroes, since `from` may have been discarded meanwhile.
                Chunk::Pages(table) => {
                    let slot = page_in(table, to);
                    if self.publish(slot, false, wait, |new| self.copy_out(from, new))? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Copies the page at `from` over the one at `to`, if both exist.
    fn copy_over(&self, from: u64, to: u64) -> bool {
        let guard = rcu::read_lock();
        let (Some(from), Some(to)) = (self.page(from, &guard), self.page(to, &guard)) else {
            return false;
        };
        // SAFETY: Both were looked up under the guard, and are different pages as their places
        // differ.
        unsafe { copy(to.as_ptr(), from.as_ptr(), Page::SIZE) };
        true
    }

    /// Copies the page at `from`, if it exists, into one that is not published yet.
    fn copy_out(&self, from: u64, new: &Page) {
        let guard = rcu::read_lock();
        if let Some(from) = self.page(from, &guard) {
            // SAFETY: `from` was looked up under the guard, and `new` is not in the store.
            unsafe { copy(new.as_ptr().as_ptr(), from.as_ptr(), Page::SIZE) };
        }
    }

    /// Makes a range read as zeroes; takes no memory for that. With `release`, the memory of whole
    /// pages is given back.
    pub fn zero(&self, at: u64, len: u64, release: bool) -> Result<(), StoreError> {
        self.check(at, len)?;
        let end = at + len;
        let mut at = at;
        while at < end {
            let Some(leaf) = self.leaf(at) else {
                at = (at / LEAF_SIZE + 1) * LEAF_SIZE;
                continue;
            };
            let (_, n) = piece(at, (end - at) as usize, CHUNK_SIZE);
            self.zero_in_chunk(chunk_in(leaf, at), at, n, release);
            at += n as u64;
        }
        Ok(())
    }

    fn zero_in_chunk(&self, slot: &ChunkSlot, at: u64, len: usize, release: bool) {
        loop {
            let guard = rcu::read_lock();
            let run = match slot.get() {
                Chunk::Hole => return,
                Chunk::Pages(table) => return self.zero_in_table(table, at, len, release, &guard),
                Chunk::Run(run) => run,
            };
            if release && len == Run::SIZE {
                if let Some(run) = slot.take_run(run) {
                    self.retired.set(true);
                    run.free_after_readers();
                    return self.unreserve(CHUNK_PAGES as u64);
                }
            } else if !(release && has_whole_page(at, len) && slot.split(run, &guard).is_ok()) {
                let offset = (at % CHUNK_SIZE) as usize;
                // SAFETY: The run was looked up under the guard; the range is within the chunk.
                return unsafe { zero(run.as_ptr().add(offset), len) };
            }
            // It is not this run any more: split, by us or another, or gone.
        }
    }

    fn zero_in_table(
        &self,
        table: &[PageSlot; CHUNK_PAGES],
        mut at: u64,
        len: usize,
        release: bool,
        _guard: &rcu::Guard,
    ) {
        let end = at + len as u64;
        while at < end {
            let (offset, n) = piece(at, (end - at) as usize, PAGE_SIZE);
            let slot = page_in(table, at);
            if release && n == Page::SIZE {
                self.retire(slot);
            } else if let Some(page) = slot.get() {
                // SAFETY: The page was looked up under the guard; the range is within it.
                unsafe { zero(page.as_ptr().add(offset), n) };
            }
            at += n as u64;
        }
    }

    fn retire(&self, slot: &PageSlot) {
        if let Some(page) = slot.take() {
            self.retired.set(true);
            page.free_after_readers();
            self.unreserve(1);
        }
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

/// Whether a range covers at least one page from its beginning to its end.
fn has_whole_page(at: u64, len: usize) -> bool {
    at.next_multiple_of(PAGE_SIZE) + PAGE_SIZE <= at + len as u64
}
