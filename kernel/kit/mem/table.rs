// SPDX-License-Identifier: GPL-2.0

//! The tables: from a place in the store to the memory for it. The parent module argues their
//! concurrency.
//!
//! A [`Leaf`] has a slot for each of 512 chunks, a chunk being 64 KiB of data. Most chunks are all
//! there or not there at all, so one word is enough for them. A chunk of which only some pages are
//! there has a [`PageTable`], with a slot for each.

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{Atomic, Full},
        rcu,
    },
};

use super::page::{page_of, Pages, Wait};

/// A run has `1 << RUN_ORDER` pages.
const RUN_ORDER: u32 = 4;
/// Pages of a chunk: as many as a run has.
pub(super) const CHUNK_PAGES: usize = 1 << RUN_ORDER;
/// Chunks of a leaf: as many as make it a page.
pub(super) const LEAF_CHUNKS: usize = 512;

/// A page of data.
pub(super) type Page = Pages<0>;
/// The memory of a whole chunk, in a row.
pub(super) type Run = Pages<RUN_ORDER>;

/// A place for a pointer, which is null at first.
#[repr(transparent)]
struct Slot<T>(Atomic<*mut T>);

impl<T> Slot<T> {
    /// An empty one.
    fn new() -> Self {
        Self(Atomic::new(core::ptr::null_mut()))
    }

    /// What C calls `rcu_dereference()`: who gets the pointer sees what was written before it was
    /// put in.
    ///
    /// `Atomic::load` would do the same through a call.
    #[inline(always)]
    fn get(&self) -> Option<NonNull<T>> {
        // SAFETY: The pointer to the slot is valid and aligned, as it comes from a reference; a
        // volatile read of a pointer does not tear, and counts as marked access in the kernel's
        // memory model.
        NonNull::new(unsafe { self.0.as_ptr().read_volatile() })
    }

    /// Puts `new` in if `old` is there. Fully ordered.
    fn change(&self, old: *mut T, new: *mut T) -> bool {
        self.0.cmpxchg(old, new, Full).is_ok()
    }

    /// Puts a pointer in if there is none. Fully ordered.
    fn put(&self, pointer: NonNull<T>) -> bool {
        self.change(core::ptr::null_mut(), pointer.as_ptr())
    }

    /// Takes the pointer out: exactly one caller gets it. Fully ordered.
    fn take(&self) -> Option<NonNull<T>> {
        NonNull::new(self.0.xchg(core::ptr::null_mut(), Full))
    }
}

/// The slot of one page of data.
///
/// # Invariants
///
/// A pointer in the slot came from [`Page::into_raw`], or is a page of a run that was split; the
/// slot owns it.
#[repr(transparent)]
pub(super) struct PageSlot(Slot<u8>);

impl PageSlot {
    /// Where the page is, which may be used as long as the RCU read lock is held that was held
    /// before this call.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<NonNull<u8>> {
        self.0.get()
    }

    /// Publishes a page, whose contents must be complete. Gives it back if there is one already.
    pub(super) fn put(&self, page: Page) -> Result<(), Page> {
        page.are_ours();
        let raw = page.into_raw();
        // INVARIANT: From `into_raw()`; the ownership passes to the slot if it is put in.
        if self.0.put(raw) {
            return Ok(());
        }
        // SAFETY: From `into_raw()` just now, and the slot did not take it.
        Err(unsafe { Page::from_raw(raw) })
    }

    /// Takes the page out. RCU readers may still be using it.
    pub(super) fn take(&self) -> Option<Page> {
        // SAFETY: By the type invariant, and `xchg` gives the pointer to exactly one caller. Of a
        // run that was split: freeing it by itself is what `ChunkSlot::split()` has made possible.
        self.0.take().map(|page| unsafe { Page::from_raw(page) })
    }
}

/// The pages of a chunk, one by one.
pub(super) type PageTable = [PageSlot; CHUNK_PAGES];

/// The lowest bit of a chunk's word: it is the address of a [`PageTable`], and not of a run.
const TABLE: usize = 1;

/// What a chunk has.
pub(super) enum Chunk<'a> {
    /// Nothing: it reads as zeroes.
    Hole,
    /// All pages, in a row from here on, as long as the RCU read lock is held.
    Run(NonNull<u8>),
    /// What the table says.
    Pages(&'a PageTable),
}

/// The slot of a chunk.
///
/// # Invariants
///
/// It is null; or a pointer that came from [`Run::into_raw`], which the slot owns; or that of a
/// [`PageTable`] with [`TABLE`] added, which then stays as it is until the slot is dropped.
#[repr(transparent)]
pub(super) struct ChunkSlot(Slot<u8>);

impl ChunkSlot {
    /// What the chunk has.
    #[inline(always)]
    pub(super) fn get(&self) -> Chunk<'_> {
        match self.0.get() {
            None => Chunk::Hole,
            Some(word) if word.addr().get() & TABLE == 0 => Chunk::Run(word),
            // SAFETY: By the type invariant it is a table, complete when it was put in, which lives
            // as long as the slot. It consists of atomics: shared access is fine.
            Some(word) => Chunk::Pages(unsafe { table_at(word).as_ref() }),
        }
    }

    /// Publishes a run, whose contents must be complete. Gives it back if the chunk is no hole any
    /// more.
    pub(super) fn put_run(&self, run: Run) -> Result<(), Run> {
        run.are_ours();
        let raw = run.into_raw();
        // INVARIANT: From `into_raw()`; the ownership passes to the slot if it is put in.
        if self.0.put(raw) {
            return Ok(());
        }
        // SAFETY: From `into_raw()` just now, and the slot did not take it.
        Err(unsafe { Run::from_raw(raw) })
    }

    /// Takes the run out, if it still is this one. RCU readers may still be using it.
    pub(super) fn take_run(&self, run: NonNull<u8>) -> Option<Run> {
        if !self.0.change(run.as_ptr(), core::ptr::null_mut()) {
            return None;
        }
        // SAFETY: It was in the slot, so by the type invariant it came from `into_raw()`; the
        // exchange gives it to exactly one caller.
        Some(unsafe { Run::from_raw(run) })
    }

    /// Gives a hole an empty table. `Err` if there is no memory.
    pub(super) fn make_table(&self, wait: Wait) -> Result<(), NoMemory> {
        let table: NonNull<PageTable> = zeroed(wait)?;
        // INVARIANT: A table, which nobody frees once it is in.
        if !self.0.put(tagged(table)) {
            // SAFETY: The slot did not take it, so nobody has seen it.
            unsafe { bindings::kfree(table.as_ptr().cast()) };
        }
        Ok(())
    }

    /// Puts a table with the pages of the run in the run's place, if it still is this one. The
    /// pages stay where they are, and whoever is using them does not notice.
    ///
    /// The guard must have been taken before the run was looked up. `Err` if there is no memory.
    pub(super) fn split(&self, run: NonNull<u8>, _guard: &rcu::Guard) -> Result<(), NoMemory> {
        let table: NonNull<PageTable> = zeroed(Wait::Forbidden)?;
        let slots: NonNull<*mut u8> = table.cast();
        for n in 0..CHUNK_PAGES {
            let page = run.as_ptr().wrapping_add(n * Page::SIZE);
            // SAFETY: A table has as many words, and nobody else knows it yet.
            unsafe { slots.add(n).write(page) };
        }
        // INVARIANT: A table, which nobody frees once it is in. It owns the pages from now on: the
        // run itself is no longer in the slot.
        if !self.0.change(run.as_ptr(), tagged(table).as_ptr()) {
            // SAFETY: The slot did not take it, so nobody has seen it.
            unsafe { bindings::kfree(table.as_ptr().cast()) };
            return Ok(());
        }
        // SAFETY: The run was in the slot and is there no more, so it was from the page allocator,
        // of this order, not compound, and is not freed as a whole. Somebody may have taken pages
        // out of the table already; they are freed one by one after all RCU readers of that time,
        // of whom we are one: not before this is done.
        unsafe { bindings::split_page(page_of(run), RUN_ORDER) };
        Ok(())
    }
}

/// There is no memory.
pub(super) struct NoMemory;

impl From<NoMemory> for super::StoreError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

fn tagged(table: NonNull<PageTable>) -> NonNull<u8> {
    table.cast().map_addr(|address| address | TABLE)
}

fn table_at(word: NonNull<u8>) -> NonNull<PageTable> {
    // SAFETY: A table is aligned to 8, so without the tag it is not null either.
    unsafe { NonNull::new_unchecked(word.as_ptr().map_addr(|address| address & !TABLE)) }.cast()
}

/// Memory full of zeroes for a table.
///
/// From the slab allocator and not from the page allocator, so that kmemleak looks in it for
/// pointers to other tables.
fn zeroed<T>(wait: Wait) -> Result<NonNull<T>, NoMemory> {
    let gfp = wait.gfp() | bindings::__GFP_ZERO;
    // SAFETY: A null pointer asks for new memory. As for `Pages::allocate()` otherwise.
    let memory = unsafe {
        bindings::krealloc_node_align(
            core::ptr::null(),
            size_of::<T>(),
            align_of::<T>(),
            gfp,
            bindings::NUMA_NO_NODE,
        )
    };
    NonNull::new(memory.cast()).ok_or(NoMemory)
}

/// The slots of neighbouring chunks.
pub(super) type Leaf = [ChunkSlot; LEAF_CHUNKS];

/// The slot of a leaf.
///
/// # Invariants
///
/// A pointer in the slot is a [`Leaf`] from [`zeroed`], which stays until the slot is dropped.
#[repr(transparent)]
pub(super) struct LeafSlot(Slot<Leaf>);

impl LeafSlot {
    /// An empty slot.
    pub(super) fn new() -> Self {
        Self(Slot::new())
    }

    /// The leaf, if there is one.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<&Leaf> {
        // SAFETY: By the type invariant the leaf lives as long as the slot. It consists of atomics:
        // shared access is fine.
        self.0.get().map(|leaf| unsafe { leaf.as_ref() })
    }

    /// The leaf, which is made if there is none.
    pub(super) fn get_or_make(&self, wait: Wait) -> Result<&Leaf, NoMemory> {
        loop {
            if let Some(leaf) = self.get() {
                return Ok(leaf);
            }
            // Zeroes are null pointers: a valid leaf.
            let leaf = zeroed(wait)?;
            // INVARIANT: A leaf, which nobody frees once it is in.
            if !self.0.put(leaf) {
                // SAFETY: Somebody else's leaf is in: ours was seen by nobody.
                unsafe { bindings::kfree(leaf.as_ptr().cast()) };
            }
        }
    }
}

impl Drop for LeafSlot {
    fn drop(&mut self) {
        let Some(leaf) = self.0.take() else { return };
        // SAFETY: By the type invariant; `&mut self` says that nobody borrows it.
        for chunk in unsafe { leaf.as_ref() } {
            chunk.clear();
        }
        // SAFETY: From `zeroed()`, and nobody borrows it.
        unsafe { bindings::kfree(leaf.as_ptr().cast()) };
    }
}

impl ChunkSlot {
    /// Frees what the chunk has, at once. Only for a slot that nobody can look up any more, so that
    /// there is no reader to wait for.
    fn clear(&self) {
        let Some(word) = self.0.take() else { return };
        if word.addr().get() & TABLE == 0 {
            // SAFETY: By the type invariant, and the exchange has given it to us.
            return drop(unsafe { Run::from_raw(word) });
        }
        let table = table_at(word);
        // SAFETY: By the type invariant; nobody borrows it any more.
        for slot in unsafe { table.as_ref() } {
            drop(slot.take());
        }
        // SAFETY: From `zeroed()`, and nobody borrows it.
        unsafe { bindings::kfree(table.as_ptr().cast()) };
    }
}
