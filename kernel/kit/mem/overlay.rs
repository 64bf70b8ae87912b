// SPDX-License-Identifier: GPL-2.0

//! What was written over a disk that itself is not written to: the memory of a copy-on-write
//! snapshot.
//!
//! An [`Overlay`] keeps sectors. Each one is *below* (never written here), or *ours*: zero, or in a
//! page of memory. To read is to be told how far the sectors are of one kind, and to have ours
//! filled in; the rest is for the caller to get from the disk below.
//!
//! # Why a mask, and no copying up
//!
//! The usual snapshot copies a chunk up from the origin before it changes a part of it. Here a page
//! has a mask that says which of its eight sectors are ours. So a write never reads: it takes no
//! I/O below, waits for nothing, and completes at once; and a page may be taken from the allocator
//! as it comes, since a sector without its bit is never shown. The price is paid by reads that
//! cross a border between ours and below, which are split there. That is rare: file systems write
//! blocks, and borders within a page only come from smaller writes.
//!
//! Page and mask are one word (a pointer that is aligned to 4096 leaves 12 bits), so that a reader
//! sees a page with the very mask that it had at one instant.
//!
//! # The tree
//!
//! Entries that are all alike need no table. A tree begins as one word, "below". Zeroing a range
//! that covers an entry puts one word, "zeroes", there: a file system that discards all of its disk
//! takes next to nothing. A table (4 KiB) is made where the two meet, or a page is put in; it is
//! for 2 MiB at the lowest level. So the memory held follows what was written, and not the size of
//! the disk.
//!
//! # Concurrency
//!
//! - *Looking up* takes no lock. A page is filled before a fully ordered exchange publishes it, or
//!   a new bit of its mask; the address dependency from the load of the word to the bytes does the
//!   rest.
//! - *Pages go* by discard: an exchange takes the page out, so that one context gets it, and RCU
//!   frees it. Readers and writers hold the RCU read lock from loading the word to the end of the
//!   copy. A write that meanwhile went into the page that was taken out was under way at the same
//!   time as the discard, and counts as the earlier one.
//! - *Tables never go* before the tree does.
//! - *Reset* puts an empty tree in the place of the old one, by one exchange, and leaves the old
//!   one to RCU and a work item ([`RcuCell`]). What had completed before is forgotten, what begins
//!   afterwards sees nothing of it; of a write that is under way at the time, each page is kept or
//!   forgotten.
//! - *Allocating* may sleep, and so happens without the RCU read lock; then the tree is looked at
//!   anew.

mod tree;
mod word;

use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, Arc,
    },
};

use self::{
    tree::{Means, Run, Stop, Tree},
    word::{Piece, PAGE},
};
use super::{copying, page::Pages, StoreError, Wait};
use crate::{
    block::{Cursor, NotFillable, Segments, SECTOR_SIZE},
    rcu_cell::{RcuCell, Reaper},
};

/// A page of memory, for data or for a table.
type Block = Pages<0>;

// The masks in the words of the tree are for pages of this size.
const _: () = assert!(PAGE == Block::SIZE, "pages are of 4 KiB");

/// Sectors written over those of a disk. All methods may be called by any number of tasks at a
/// time.
pub struct Overlay {
    tree: RcuCell<Tree>,
    size: u64,
    cap: Atomic<u64>,
}

/// What the beginning of a range is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// So many sectors are ours, and were filled in.
    Filled(u32),
    /// So many sectors are to be read from below.
    Below(u32),
}

/// The memory that an overlay holds, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Pages of data.
    pub data: u64,
    /// Pages of tables.
    pub tables: u64,
}

impl Overlay {
    /// An overlay over a disk of so many sectors, without a cap.
    pub fn new(size: u64, reaper: &Arc<Reaper>) -> Result<Self> {
        copying::choose()?;
        Ok(Self {
            tree: RcuCell::new(Tree::new(size), reaper.clone())?,
            size,
            cap: Atomic::new(u64::MAX),
        })
    }

    /// Lets it hold no more than so many pages, of data and tables together. It may hold more at
    /// the time; then it gets none until it holds less.
    pub fn set_cap(&self, pages: Option<u64>) {
        self.cap.store(pages.unwrap_or(u64::MAX), Relaxed);
    }

    /// The memory held. (What was reset or discarded comes back a little later than this says.)
    pub fn usage(&self) -> Usage {
        let guard = rcu::read_lock();
        let (data, tables) = self.tree.get(&guard).held();
        Usage { data, tables }
    }

    /// Forgets everything: all sectors are below again. May sleep.
    pub fn reset(&self) -> Result {
        self.tree.replace(Tree::new(self.size))
    }

    /// Reads from sector `at` on, as far as the sectors are of one kind.
    #[inline]
    pub fn read(&self, at: u64, segments: Segments<'_>) -> Result<Part, StoreError> {
        let end = self.end(at, segments.bytes_left() as u64 / SECTOR_SIZE)?;
        let guard = rcu::read_lock();
        let tree = self.tree.get(&guard);
        let mut cursor = Cursor::new(segments);
        let mut next = at;
        while next < end {
            let (run, sectors) = tree.run(next, end, &guard);
            let bytes = sectors as usize * SECTOR_SIZE as usize;
            match run {
                Run::Below if next == at => return Ok(below(tree, at, at + sectors, end, &guard)),
                Run::Below => break,
                Run::Zeroes => cursor.zero(bytes)?,
                // SAFETY: The page stays as long as the guard, and the run is within it. It is in
                // no bio.
                Run::Bytes(from) => unsafe { cursor.fill(from, bytes)? },
            }
            next += sectors;
        }
        Ok(Part::Filled((next - at) as u32))
    }

    /// Writes from sector `at` on. After an error, a part from the beginning may have been written.
    #[inline]
    pub fn write(&self, at: u64, segments: Segments<'_>, wait: Wait) -> Result<(), StoreError> {
        let end = self.end(at, segments.bytes_left() as u64 / SECTOR_SIZE)?;
        let mut cursor = Cursor::new(segments);
        let mut next = at;
        self.change(wait, |tree, means, guard| {
            while next < end {
                let piece = Piece::first_of(next, end);
                let mut after = None;
                let fill = |to| {
                    let from = after.insert(cursor.clone());
                    // SAFETY: `write()` gives a place for that many bytes, in a page of its own.
                    let copied = unsafe { from.copy_to(to, piece.bytes()) };
                    debug_assert_eq!(copied, piece.bytes());
                };
                // SAFETY: There is memory of the bio up to `end`, so all of the piece is written.
                unsafe { tree.write(piece, fill, means, guard)? };
                if let Some(after) = after {
                    cursor = after;
                }
                next += piece.sectors;
            }
            Ok(())
        })
    }

    /// Makes sectors from `at` on zero. This takes memory only for what is less than a page, at the
    /// beginning and at the end, and for tables. After an error, a part from the beginning may have
    /// been done.
    pub fn zero(&self, at: u64, sectors: u64, wait: Wait) -> Result<(), StoreError> {
        let end = self.end(at, sectors)?;
        let mut next = at;
        self.change(wait, |tree, means, guard| {
            // What is beyond the end is nobody's, and may be zero as well: it saves tables.
            let end = if end == self.size { tree.size() } else { end };
            while next < end {
                next = tree.zero(next, end, means, guard)?;
                if next < end && next.is_multiple_of(Tree::TABLE) {
                    return Err(Stop::Pause);
                }
            }
            Ok(())
        })
    }

    /// Changes the tree, which `step` may do in several calls, each going on where the last one
    /// stopped: for want of memory, or lest RCU be held up.
    #[inline(always)]
    fn change(
        &self,
        wait: Wait,
        mut step: impl FnMut(&Tree, &mut Means<'_>, &rcu::Guard) -> Result<(), Stop>,
    ) -> Result<(), StoreError> {
        let mut spare = None;
        let cap = self.cap.load(Relaxed);
        loop {
            let done = {
                let guard = rcu::read_lock();
                let mut means = Means {
                    spare: &mut spare,
                    cap,
                };
                step(self.tree.get(&guard), &mut means, &guard)
            };
            match done {
                Ok(()) => return Ok(()),
                Err(Stop::Pause) => {}
                Err(Stop::Full) => return Err(StoreError::Full),
                Err(Stop::Block) => spare = Some(Block::new(wait).ok_or(StoreError::NoMemory)?),
            }
        }
    }

    #[inline(always)]
    fn end(&self, at: u64, sectors: u64) -> Result<u64, StoreError> {
        match at.checked_add(sectors) {
            Some(end) if end <= self.size => Ok(end),
            _ => Err(StoreError::OutOfRange),
        }
    }
}

/// How far the sectors from `at` on are below, given that they are up to `next`.
fn below(tree: &Tree, at: u64, mut next: u64, end: u64, guard: &rcu::Guard) -> Part {
    while next < end {
        let (Run::Below, sectors) = tree.run(next, end, guard) else {
            break;
        };
        next += sectors;
    }
    Part::Below((next - at) as u32)
}

impl From<NotFillable> for StoreError {
    fn from(_: NotFillable) -> Self {
        StoreError::NotFillable
    }
}
