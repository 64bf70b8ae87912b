// SPDX-License-Identifier: GPL-2.0

//! The tree of an overlay: from a sector to what is ours of it. The parent module argues its
//! concurrency.

use core::ptr::NonNull;

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        rcu,
    },
};

use super::{
    word::{Piece, Word, ALL, PAGE, SECTORS},
    Block,
};
use crate::{compat::rcu_barrier, flag::Flag, mem::bytes};

/// Entries of a table: as many as fit a page.
const ENTRIES: usize = PAGE / size_of::<Entry>();
const SHIFT: u32 = ENTRIES.ilog2();

/// An entry: a [`Word`] that many contexts read and change at a time.
///
/// # Invariants
///
/// A pointer in it came from [`Block::into_raw`], and the entry owns it.
#[repr(transparent)]
struct Entry(Atomic<*mut u8>);

type Table = [Entry; ENTRIES];

impl Entry {
    /// What C calls `rcu_dereference()`: who gets a pointer sees what was written before it was put
    /// in. (`Atomic::load` would do the same through a call.)
    #[inline(always)]
    fn get(&self) -> Word {
        // SAFETY: The pointer to the entry is valid and aligned, as it comes from a reference; a
        // volatile read of a pointer does not tear, and counts as marked access in the kernel's
        // memory model.
        Word::from_raw(unsafe { self.0.as_ptr().read_volatile() })
    }

    /// Changes the entry if it still is `old`. Fully ordered.
    #[inline]
    fn change(&self, old: Word, new: Word) -> bool {
        self.0.cmpxchg(old.into_raw(), new.into_raw(), Full).is_ok()
    }

    /// Puts a word in, and takes the old one out. Fully ordered.
    fn replace(&self, new: Word) -> Word {
        Word::from_raw(self.0.xchg(new.into_raw(), Full))
    }
}

/// Why a change was not made.
pub(super) enum Stop {
    /// It takes a block, and there is no spare one.
    Block,
    /// The tree has as many pages as it may.
    Full,
    /// It has held the RCU read lock for long enough; to be gone on with.
    Pause,
}

/// What a run of sectors is.
pub(super) enum Run {
    /// Not ours.
    Below,
    /// Ours, and zero.
    Zeroes,
    /// Ours: from here on, as long as the RCU read lock is held.
    Bytes(*const u8),
}

/// What an operation that changes the tree goes by.
pub(super) struct Means<'a> {
    /// A block to use, if it takes one.
    pub(super) spare: &'a mut Option<Block>,
    /// How many blocks the tree may have.
    pub(super) cap: u64,
}

/// The tree: a page's entry is found by going down from the root through a fixed number of levels.
///
/// # Invariants
///
/// An entry at level 0 has no table, one above no page. Tables stay until the tree is dropped; a
/// page is freed, after it was taken out of its entry, a grace period later.
pub(super) struct Tree {
    root: Entry,
    /// The root's level.
    height: u32,
    pages: Atomic<u64>,
    tables: Atomic<u64>,
    /// Whether pages were given to RCU, and dropping must wait for its callbacks.
    retired: Flag,
}

impl Tree {
    /// A tree for so many sectors, none of which is ours.
    pub(super) fn new(size: u64) -> Self {
        let mut height = 0;
        while Self::span(height) < size {
            height += 1;
        }
        // INVARIANT: It is empty.
        Self {
            root: Entry(Atomic::new(Word::BELOW.into_raw())),
            height,
            pages: Atomic::new(0),
            tables: Atomic::new(0),
            retired: Flag::new(false),
        }
    }

    /// Sectors of an entry at a level.
    #[inline(always)]
    const fn span(level: u32) -> u64 {
        SECTORS << (SHIFT * level)
    }

    /// Sectors of a table at the lowest level.
    pub(super) const TABLE: u64 = Self::span(1);

    /// Sectors of the whole, at least as many as were asked for.
    pub(super) fn size(&self) -> u64 {
        Self::span(self.height)
    }

    /// Pages of data and tables held.
    pub(super) fn held(&self) -> (u64, u64) {
        (self.pages.load(Relaxed), self.tables.load(Relaxed))
    }

    /// The table that an entry above level 0 points to.
    #[inline(always)]
    fn table(&self, word: Word) -> Option<&Table> {
        // SAFETY: By the invariants of the type and of `Entry` it is a table, filled before it was
        // put in, and stays as long as the tree. It consists of atomics: shared access is fine.
        word.pointer().map(|table| unsafe { table.cast().as_ref() })
    }

    #[inline(always)]
    fn step(table: &Table, level: u32, page: u64) -> &Entry {
        &table[(page >> (SHIFT * level)) as usize % ENTRIES]
    }

    /// Finds out what the sectors from `at` on are, and how many, at most up to `end`.
    #[inline]
    pub(super) fn run(&self, at: u64, end: u64, _guard: &rcu::Guard) -> (Run, u64) {
        let (mut entry, mut level) = (&self.root, self.height);
        let mut word = entry.get();
        while level > 0 {
            let Some(table) = self.table(word) else { break };
            level -= 1;
            entry = Self::step(table, level, at / SECTORS);
            word = entry.get();
        }
        let rest = Self::span(level) - at % Self::span(level);
        let most = rest.min(end - at);
        let Some(page) = word.pointer() else {
            let run = if word.is_zeroes() {
                Run::Zeroes
            } else {
                Run::Below
            };
            return (run, most);
        };
        let first = at % SECTORS;
        match word.run(first, most) {
            (true, n) => (
                Run::Bytes(page.as_ptr().wrapping_add(first as usize * 512)),
                n,
            ),
            (false, n) => (Run::Below, n),
        }
    }

    /// Makes a piece ours. `fill` writes its bytes, in one place or after the other.
    ///
    /// # Safety
    ///
    /// `fill` must write as many bytes as the piece has, from the pointer on, for which that is
    /// valid.
    #[inline]
    pub(super) unsafe fn write(
        &self,
        piece: Piece,
        mut fill: impl FnMut(*mut u8),
        means: &mut Means<'_>,
        _guard: &rcu::Guard,
    ) -> Result<(), Stop> {
        let entry = self.entry(piece.page, means)?;
        loop {
            let old = entry.get();
            let Some(page) = old.pointer() else {
                if self.add_page(entry, old, piece, &mut fill, means)? {
                    return Ok(());
                }
                continue;
            };
            fill(page.as_ptr().wrapping_add(piece.offset()));
            // A reader sees the new bit only with the bytes, as the exchange is ordered.
            if old.has(piece.mask()) || entry.change(old, old.with(piece.mask())) {
                return Ok(());
            }
        }
    }

    /// Puts a new page into an entry that was `old`; says whether it was put in.
    #[inline(never)]
    fn add_page(
        &self,
        entry: &Entry,
        old: Word,
        piece: Piece,
        fill: &mut impl FnMut(*mut u8),
        means: &mut Means<'_>,
    ) -> Result<bool, Stop> {
        self.add(entry, old, &self.pages, means, |block| {
            let start = block.as_ptr();
            let mut mask = piece.mask();
            if old.is_zeroes() {
                mask = ALL;
                // SAFETY: A block has a page of bytes, and nobody else knows it yet.
                unsafe { bytes::zero(start.as_ptr(), PAGE) };
            }
            fill(start.as_ptr().wrapping_add(piece.offset()));
            Word::page(start, mask)
        })
    }

    /// The entry of a page. Tables on the way are made.
    #[inline]
    fn entry(&self, page: u64, means: &mut Means<'_>) -> Result<&Entry, Stop> {
        let (mut entry, mut level) = (&self.root, self.height);
        while level > 0 {
            let word = entry.get();
            let Some(table) = self.table(word) else {
                self.add_table(entry, word, means)?;
                continue;
            };
            level -= 1;
            entry = Self::step(table, level, page);
        }
        Ok(entry)
    }

    /// Puts a table, all entries of which are as `old`, into an entry, unless that has changed.
    #[cold]
    fn add_table(&self, entry: &Entry, old: Word, means: &mut Means<'_>) -> Result<(), Stop> {
        self.add(entry, old, &self.tables, means, |block| {
            let table: NonNull<*mut u8> = block.as_ptr().cast();
            for n in 0..ENTRIES {
                // SAFETY: A block has as many words, and nobody else knows it yet.
                unsafe { table.add(n).write(old.into_raw()) };
            }
            Word::table(block.as_ptr())
        })
        .map(drop)
    }

    /// Puts the spare block into an entry that was `old`; says whether it was put in. `prepare`
    /// fills it, and says what is to be in the entry: the block itself, as page or table.
    fn add(
        &self,
        entry: &Entry,
        old: Word,
        count: &Atomic<u64>,
        means: &mut Means<'_>,
        prepare: impl FnOnce(&Block) -> Word,
    ) -> Result<bool, Stop> {
        let block = means.spare.take().ok_or(Stop::Block)?;
        // Counting first and looking after: at the edge two may both be refused, but never one too
        // many let in.
        count.fetch_add(1u64, Relaxed);
        let (pages, tables) = self.held();
        let full = pages + tables > means.cap;
        if !full {
            let new = prepare(&block);
            block.are_ours();
            if entry.change(old, new) {
                // INVARIANT: The entry owns the block.
                let _ = block.into_raw();
                return Ok(true);
            }
        }
        count.fetch_sub(1u64, Relaxed);
        *means.spare = Some(block);
        if full {
            Err(Stop::Full)
        } else {
            Ok(false)
        }
    }

    /// Makes sectors from `at` on ours and zero, as many as one entry is about, at most up to
    /// `end`. Returns where it stopped.
    pub(super) fn zero(
        &self,
        at: u64,
        end: u64,
        means: &mut Means<'_>,
        guard: &rcu::Guard,
    ) -> Result<u64, Stop> {
        let (mut entry, mut level) = (&self.root, self.height);
        loop {
            let word = entry.get();
            let start = at - at % Self::span(level);
            let stop = end.min(start + Self::span(level));
            let whole = start == at && stop == start + Self::span(level);
            if word.is_zeroes() {
                return Ok(stop);
            }
            if level == 0 {
                if whole {
                    self.retire(entry.replace(Word::ZEROES));
                } else {
                    self.zero_part(Piece::first_of(at, stop), means, guard)?;
                }
                return Ok(stop);
            }
            if let Some(table) = self.table(word) {
                level -= 1;
                entry = Self::step(table, level, at / SECTORS);
            } else if !whole {
                self.add_table(entry, word, means)?;
            } else if entry.change(word, Word::ZEROES) {
                return Ok(stop);
            }
        }
    }

    fn zero_part(
        &self,
        piece: Piece,
        means: &mut Means<'_>,
        guard: &rcu::Guard,
    ) -> Result<(), Stop> {
        // SAFETY: As many bytes as the piece has, for which the pointer is valid.
        let fill = |to| unsafe { bytes::zero(to, piece.bytes()) };
        // SAFETY: As above.
        unsafe { self.write(piece, fill, means, guard) }
    }

    /// Frees the page that was taken out of an entry at level 0, when nobody reads it any more.
    fn retire(&self, old: Word) {
        if let Some(page) = old.pointer() {
            self.retired.set(true);
            self.pages.fetch_sub(1u64, Relaxed);
            // SAFETY: By the invariant of `Entry`, which has given it up.
            unsafe { Block::from_raw(page) }.free_after_readers();
        }
    }

    /// Frees what an entry owns.
    ///
    /// # Safety
    ///
    /// Nobody else uses the tree any more, nor this entry.
    unsafe fn free(&self, word: Word, level: u32) {
        let Some(block) = word.pointer() else { return };
        if level > 0 {
            for entry in self.table(word).into_iter().flatten() {
                // SAFETY: By the function's contract. It goes as deep as the tree is high, which is
                // six at most.
                unsafe { self.free(entry.get(), level - 1) };
            }
        }
        // SAFETY: By the invariant of `Entry`, which is not used any more.
        drop(unsafe { Block::from_raw(block) });
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // SAFETY: `&mut self` says that nobody else uses the tree.
        unsafe { self.free(self.root.get(), self.height) };
        // The callbacks under way are code of this module.
        if self.retired.get() {
            rcu_barrier();
        }
    }
}
