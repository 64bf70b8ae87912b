// SPDX-License-Identifier: GPL-2.0

//! Zeroes, which take no memory; and memory that is given back, once nobody can be reading it.

use kernel::sync::rcu;

use super::{chunk_in, page_in, piece, PageStore, StoreError, CHUNK_SIZE, LEAF_SIZE, PAGE_SIZE};
use crate::mem::{
    bytes::zero,
    table::{Chunk, ChunkSlot, Page, PageSlot, Run, CHUNK_PAGES},
};

impl PageStore {
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
}

/// Whether a range covers at least one page from its beginning to its end.
fn has_whole_page(at: u64, len: usize) -> bool {
    at.next_multiple_of(PAGE_SIZE) + PAGE_SIZE <= at + len as u64
}
