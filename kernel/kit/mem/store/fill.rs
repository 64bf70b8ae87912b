// SPDX-License-Identifier: GPL-2.0

//! Memory where there was none: for what is written to a hole, and for a page that becomes another's
//! copy. Memory is filled before it is published, so that nobody ever reads what it held before.

use kernel::{prelude::*, sync::rcu};

use super::{chunk_in, page_in, piece, PageStore, StoreError, CHUNK_SIZE, LEAF_SIZE, PAGE_SIZE};
use crate::{
    block::Cursor,
    mem::{
        bytes::copy,
        page::Wait,
        table::{Chunk, ChunkSlot, Page, PageSlot, Run, CHUNK_PAGES},
    },
};

impl PageStore {
    /// Puts memory with the next bytes where there is none. Returns how many bytes; 0 if somebody
    /// else was faster, so that there is something to copy over.
    #[inline(never)]
    pub(super) fn fill(
        &self,
        at: u64,
        from: &mut Cursor<'_>,
        wait: Wait,
    ) -> Result<u64, StoreError> {
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
}
