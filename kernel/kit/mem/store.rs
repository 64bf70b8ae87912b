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
    leaf::{LeafSlot, PageSlot, SLOTS},
    page::{Mapped, OwnedPage, Wait},
};
use crate::{block::Segment, compat::rcu_barrier, flag::Flag};

/// Bytes of a page of the store.
pub const PAGE_SIZE: u64 = bindings::PAGE_SIZE as u64;

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
/// All methods may be called from any number of contexts at a time, in process context. Two that
/// touch the same bytes at a time leave them as one of the orders would, page by page.
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
        let count = usize::try_from(pages.div_ceil(SLOTS as u64))?;
        let mut leaves = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            leaves.push(LeafSlot::new(), GFP_KERNEL)?;
        }
        Ok(Self {
            leaves,
            size: pages.checked_mul(PAGE_SIZE).ok_or(EOVERFLOW)?,
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

    /// Fills a segment, of a bio that reads, with what is stored from byte `at` on.
    #[inline(always)]
    pub fn read(&self, at: u64, segment: &Segment<'_>) -> Result<(), StoreError> {
        let len = segment.len();
        self.check(at, len as u64)?;
        if !segment.is_fillable() {
            return Err(StoreError::NotFillable);
        }
        let to = segment.map();
        // The pages that are found stay until the guard goes.
        let _guard = rcu::read_lock();
        let mut done = 0;
        while done < len {
            let (page, offset, n) = piece(at + done as u64, len - done);
            let to = to.at(done);
            match self.find(page) {
                // SAFETY: `found` was looked up under the guard; both ranges are valid, as
                // `piece()` keeps within the page and the segment; they do not overlap, since a
                // page of the store is in no bio.
                Some(found) => unsafe { copy(to, Mapped::new(found.as_ptr()).at(offset), n) },
                // SAFETY: The range is within the mapped segment.
                None => unsafe { zero(to, n) },
            }
            done += n;
        }
        Ok(())
    }

    /// Stores a segment from byte `at` on. After an error, a part from the beginning may have been
    /// stored.
    #[inline(always)]
    pub fn write(&self, at: u64, segment: &Segment<'_>, wait: Wait) -> Result<(), StoreError> {
        let len = segment.len();
        self.check(at, len as u64)?;
        let from = segment.map();
        let mut done = 0;
        loop {
            // SAFETY: The range is within the mapped segment.
            done += unsafe { self.overwrite(at + done as u64, from.at(done), len - done) };
            if done >= len {
                return Ok(());
            }
            // SAFETY: As above.
            done += unsafe { self.fill(at + done as u64, from.at(done), len - done, wait)? };
        }
    }

    /// Copies into pages that exist, up to the first hole. Returns how many bytes.
    ///
    /// # Safety
    ///
    /// `from` must be valid for `len` bytes, and the range in the store.
    #[inline(always)]
    unsafe fn overwrite(&self, at: u64, from: *const u8, len: usize) -> usize {
        let _guard = rcu::read_lock();
        let mut done = 0;
        while done < len {
            let (page, offset, n) = piece(at + done as u64, len - done);
            let Some(found) = self.find(page) else { break };
            // SAFETY: As in `read()`; the caller vouches for `from`.
            unsafe { copy(Mapped::new(found.as_ptr()).at(offset), from.add(done), n) };
            done += n;
        }
        done
    }

    /// Puts a new page with the bytes that fall into it where there is none. Returns how many
    /// bytes; 0 if somebody else was faster.
    ///
    /// # Safety
    ///
    /// As for [`Self::overwrite`].
    #[inline(never)]
    unsafe fn fill(
        &self,
        at: u64,
        from: *const u8,
        len: usize,
        wait: Wait,
    ) -> Result<usize, StoreError> {
        let (index, offset, n) = piece(at, len);
        let slot = self.slot_or_make(index, wait)?;
        let whole = n == PAGE_SIZE as usize;
        self.publish(slot, whole, wait, |page| {
            // SAFETY: Nobody else knows the page yet, and `piece()` keeps within it; the caller
            // vouches for `from`.
            unsafe { copy(page.at(offset), from, n) };
        })
        .map(|published| if published { n } else { 0 })
    }

    /// Puts a new page, filled by `fill`, into a slot; says whether it was put in. The page begins
    /// full of zeroes unless `fill` writes the `whole` of it.
    fn publish(
        &self,
        slot: &PageSlot,
        whole: bool,
        wait: Wait,
        fill: impl FnOnce(&Mapped<'_>),
    ) -> Result<bool, StoreError> {
        self.reserve()?;
        let page = if whole {
            OwnedPage::uninit(wait)
        } else {
            OwnedPage::zeroed(wait)
        };
        let Some(page) = page else {
            self.unreserve();
            return Err(StoreError::NoMemory);
        };
        fill(&page.map());
        let published = slot.put(page).is_ok();
        if !published {
            self.unreserve();
        }
        Ok(published)
    }

    /// Makes physical page `to` a copy of page `from`.
    pub fn copy_page(&self, from: u64, to: u64, wait: Wait) -> Result<(), StoreError> {
        self.check_page(from)?;
        self.check_page(to)?;
        if from == to {
            return Ok(());
        }
        if !self.exists(from) {
            return self.zero(to * PAGE_SIZE, PAGE_SIZE, true);
        }
        loop {
            if self.copy_over(from, to) {
                return Ok(());
            }
            let slot = self.slot_or_make(to, wait)?;
            // The page begins with zeroes, since `from` may have been discarded meanwhile.
            if self.publish(slot, false, wait, |new| self.copy_out(from, new))? {
                return Ok(());
            }
        }
    }

    /// Copies page `from` over page `to`, if both exist.
    fn copy_over(&self, from: u64, to: u64) -> bool {
        let _guard = rcu::read_lock();
        let (Some(from), Some(to)) = (self.find(from), self.find(to)) else {
            return false;
        };
        // SAFETY: Both were looked up under the guard, and are different pages as their indices
        // differ.
        unsafe {
            let to = Mapped::new(to.as_ptr());
            let from = Mapped::new(from.as_ptr());
            copy(to.at(0), from.at(0), PAGE_SIZE as usize);
        }
        true
    }

    /// Copies page `from`, if it exists, into a page that is not published yet.
    fn copy_out(&self, from: u64, new: &Mapped<'_>) {
        let _guard = rcu::read_lock();
        if let Some(from) = self.find(from) {
            // SAFETY: `from` was looked up under the guard, and `new` is not in the store.
            unsafe {
                let from = Mapped::new(from.as_ptr());
                copy(new.at(0), from.at(0), PAGE_SIZE as usize);
            }
        }
    }

    /// Makes a range read as zeroes; allocates nothing. With `release`, the memory of whole pages
    /// is given back.
    pub fn zero(&self, at: u64, len: u64, release: bool) -> Result<(), StoreError> {
        self.check(at, len)?;
        let end = at + len;
        let mut at = at;
        while at < end {
            let leaf_end = (at / LEAF_SIZE + 1) * LEAF_SIZE;
            let stop = end.min(leaf_end);
            if self.leaf(at / PAGE_SIZE).is_some() {
                self.zero_in_leaf(at, stop, release);
            }
            at = stop;
        }
        Ok(())
    }

    fn zero_in_leaf(&self, mut at: u64, end: u64, release: bool) {
        while at < end {
            let (index, offset, n) = piece(at, (end - at) as usize);
            if release && n == PAGE_SIZE as usize {
                self.retire(index);
            } else {
                self.zero_in_page(index, offset, n);
            }
            at += n as u64;
        }
    }

    fn retire(&self, index: u64) {
        if let Some(page) = self.slot(index).and_then(PageSlot::take) {
            self.retired.set(true);
            page.free_after_readers();
            self.unreserve();
        }
    }

    fn zero_in_page(&self, index: u64, offset: usize, len: usize) {
        let _guard = rcu::read_lock();
        if let Some(page) = self.find(index) {
            // SAFETY: The page was looked up under the guard; the caller keeps within it.
            unsafe { zero(Mapped::new(page.as_ptr()).at(offset), len) };
        }
    }

    /// Whether the page holds memory. Another context may change that at once.
    fn exists(&self, index: u64) -> bool {
        self.find(index).is_some()
    }

    /// The page, to be used only while an RCU guard is held that was taken before.
    #[inline(always)]
    fn find(&self, index: u64) -> Option<NonNull<bindings::page>> {
        self.slot(index)?.get()
    }

    #[inline(always)]
    fn slot(&self, index: u64) -> Option<&PageSlot> {
        Some(&self.leaf(index)?[index as usize % SLOTS])
    }

    #[inline(always)]
    fn leaf(&self, index: u64) -> Option<&super::leaf::Leaf> {
        self.leaves.get(index as usize / SLOTS)?.get()
    }

    fn slot_or_make(&self, index: u64, wait: Wait) -> Result<&PageSlot, StoreError> {
        let leaf = self.leaves.get(index as usize / SLOTS);
        let leaf = leaf.ok_or(StoreError::OutOfRange)?.get_or_make(wait);
        Ok(&leaf.ok_or(StoreError::NoMemory)?[index as usize % SLOTS])
    }

    /// Counts one more page, unless that is too many.
    fn reserve(&self) -> Result<(), StoreError> {
        // Counting first and looking after: at the edge two may both be refused, but never one too
        // many let in.
        if self.held.fetch_add(1u64, Relaxed) < self.cap {
            return Ok(());
        }
        self.unreserve();
        Err(StoreError::Full)
    }

    fn unreserve(&self) {
        self.held.fetch_sub(1u64, Relaxed);
    }

    #[inline(always)]
    fn check(&self, at: u64, len: u64) -> Result<(), StoreError> {
        match at.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(StoreError::OutOfRange),
        }
    }

    fn check_page(&self, index: u64) -> Result<(), StoreError> {
        if index < self.size / PAGE_SIZE {
            Ok(())
        } else {
            Err(StoreError::OutOfRange)
        }
    }
}

impl Drop for PageStore {
    fn drop(&mut self) {
        // The pages that are left go with `leaves`. Those that discard retired go by callbacks,
        // whose code is in this module.
        if self.retired.get() {
            rcu_barrier();
        }
    }
}

/// Bytes of data that a leaf covers.
const LEAF_SIZE: u64 = SLOTS as u64 * PAGE_SIZE;

/// The part of a range that lies in one page: the page's index, the offset in it, and how many
/// bytes.
#[inline(always)]
fn piece(at: u64, len: usize) -> (u64, usize, usize) {
    let offset = (at % PAGE_SIZE) as usize;
    (at / PAGE_SIZE, offset, len.min(PAGE_SIZE as usize - offset))
}
