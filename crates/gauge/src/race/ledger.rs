// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was done to each sector and when, and so what a read may find there.
//!
//! Time is a counter that each event increases. An operation has a time at which it begins, before the system call, and
//! one at which it is over, after it; what it does, it does at some moment between the two. Of two that overlap, either
//! may be first. So with `last` for the last write that was over before the read began, a word may be
//!
//! - of `last`, unless a discard began after `last` was over and was itself over before the read began;
//! - of a later write, if that began before the read was over;
//! - zero, if nothing was ever written; or if a discard that began before the read was over was not over before `last`
//!   began.
//!
//! Anything else is wrong.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

use super::stamp::Word;

/// A write that is over. The first one is none: version 0, over before time began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Write {
    version: u64,
    begun: u64,
    over: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sector {
    /// A writer is at work.
    claimed: bool,
    /// The newest version that was begun.
    begun: u64,
    last: Write,
    /// Discards at work.
    discards: u32,
    /// When the last discard was over.
    discard_over: u64,
    /// Of the discards that are over, when the latest one began.
    discard_begun: u64,
}

/// All sectors.
pub struct Ledger {
    sectors: Vec<Mutex<Sector>>,
    time: AtomicU64,
    versions: AtomicU64,
}

/// What was known of a sector before it was read.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// The first sector of the read.
    pub first: usize,
    last: Write,
    discard_begun: u64,
}

/// A word that cannot be there.
#[derive(Debug)]
pub struct Wrong {
    sector: usize,
    found: Word,
    before: Before,
    after: Sector,
}

impl std::error::Error for Wrong {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sector, found, before, after } = self;
        match found {
            Word::Zero => write!(f, "sector {sector} is zero, and no discard can have made it so")?,
            Word::Stamp { sector: other, .. } if other != sector => {
                write!(f, "sector {sector} has what was written to sector {other}")?
            }
            Word::Stamp { version, .. } if *version < before.last.version => {
                write!(f, "sector {sector} has write {version}, which was overwritten")?
            }
            Word::Stamp { version, .. } => {
                write!(f, "sector {sector} has write {version}, which was discarded or never begun")?
            }
        }
        write!(f, " (before the read: {before:?}; after it: {after:?})")
    }
}

impl Ledger {
    /// So many sectors, all zero.
    pub fn new(sectors: usize) -> Self {
        let sectors = (0..sectors).map(|_| Mutex::default()).collect();
        Self { sectors, time: AtomicU64::new(1), versions: AtomicU64::new(1) }
    }

    fn now(&self) -> u64 {
        self.time.fetch_add(1, SeqCst)
    }

    fn sector(&self, sector: usize) -> MutexGuard<'_, Sector> {
        self.sectors[sector].lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Begins a write, unless another one is at work on one of these sectors.
    pub fn begin_write(&self, range: Range<usize>) -> Option<Claim<'_>> {
        for at in range.clone() {
            let mut sector = self.sector(at);
            if sector.claimed {
                drop(sector);
                (range.start..at).for_each(|at| self.sector(at).claimed = false);
                return None;
            }
            sector.claimed = true;
        }
        // Only now, so that on each sector versions only grow.
        let version = self.versions.fetch_add(1, SeqCst);
        let begun = self.now();
        range.clone().for_each(|at| self.sector(at).begun = version);
        Some(Claim { ledger: self, range, version, begun })
    }

    /// Begins a discard.
    pub fn begin_discard(&self, range: Range<usize>) -> Discarding<'_> {
        range.clone().for_each(|at| self.sector(at).discards += 1);
        Discarding { ledger: self, range, begun: self.now() }
    }

    /// What is known of sectors that are to be read.
    pub fn before_read(&self, range: Range<usize>) -> Vec<Before> {
        let first = range.start;
        let before = |at| {
            let Sector { last, discard_begun, .. } = *self.sector(at);
            Before { first, last, discard_begun }
        };
        range.map(before).collect()
    }

    /// Whether a sector that was read may have these words.
    pub fn judge(
        &self,
        sector: usize,
        before: &Before,
        words: impl Iterator<Item = Word>,
    ) -> Result<(), Box<Wrong>> {
        let after = *self.sector(sector);
        for found in words {
            if !may_be(sector, found, before, &after) {
                return Err(Box::new(Wrong { sector, found, before: *before, after }));
            }
        }
        Ok(())
    }
}

fn may_be(at: usize, found: Word, before: &Before, after: &Sector) -> bool {
    let Before { last, discard_begun, .. } = *before;
    match found {
        Word::Zero => last.version == 0 || after.discards > 0 || after.discard_over > last.begun,
        Word::Stamp { sector, .. } if sector != at => false,
        Word::Stamp { version, .. } if version == last.version => discard_begun < last.over,
        Word::Stamp { version, .. } => last.version < version && version <= after.begun,
    }
}

/// A write that is under way.
#[must_use = "it is under way until it is done"]
pub struct Claim<'a> {
    ledger: &'a Ledger,
    range: Range<usize>,
    version: u64,
    begun: u64,
}

impl Claim<'_> {
    /// Its sectors.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Its number.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// It is over.
    pub fn done(self) {
        let over = self.ledger.now();
        let last = Write { version: self.version, begun: self.begun, over };
        for at in self.range {
            let mut sector = self.ledger.sector(at);
            sector.last = last;
            sector.claimed = false;
        }
    }
}

/// A discard that is under way.
#[must_use = "it is under way until it is done"]
pub struct Discarding<'a> {
    ledger: &'a Ledger,
    range: Range<usize>,
    begun: u64,
}

impl Discarding<'_> {
    /// It is over.
    pub fn done(self) {
        let over = self.ledger.now();
        for at in self.range {
            let mut sector = self.ledger.sector(at);
            sector.discards -= 1;
            sector.discard_over = sector.discard_over.max(over);
            sector.discard_begun = sector.discard_begun.max(self.begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 5;

    fn stamp(version: u64) -> Word {
        Word::Stamp { sector: AT, version }
    }

    /// Whether a read that begins and ends now may find this.
    fn now(ledger: &Ledger, found: Word) -> bool {
        let before = ledger.before_read(AT..AT + 1)[0];
        ledger.judge(AT, &before, [found].into_iter()).is_ok()
    }

    fn written(ledger: &Ledger) -> u64 {
        let claim = ledger.begin_write(AT..AT + 2).unwrap();
        let version = claim.version();
        claim.done();
        version
    }

    #[test]
    fn what_was_never_written_is_zero() {
        let ledger = Ledger::new(8);
        assert!(now(&ledger, Word::Zero));
        assert!(!now(&ledger, stamp(1)));
    }

    #[test]
    fn what_was_written_is_there_and_nothing_else() {
        let ledger = Ledger::new(8);
        let (first, second) = (written(&ledger), written(&ledger));
        assert!(now(&ledger, stamp(second)));
        assert!(!now(&ledger, stamp(first)) && !now(&ledger, Word::Zero) && !now(&ledger, stamp(second + 1)));
        assert!(!now(&ledger, Word::Stamp { sector: AT + 1, version: second }));
    }

    #[test]
    fn what_was_discarded_does_not_come_back() {
        let ledger = Ledger::new(8);
        let version = written(&ledger);
        ledger.begin_discard(0..8).done();
        assert!(now(&ledger, Word::Zero) && !now(&ledger, stamp(version)));
        let version = written(&ledger);
        assert!(!now(&ledger, Word::Zero) && now(&ledger, stamp(version)));
    }

    #[test]
    fn of_two_that_overlap_either_may_be_first() {
        let ledger = Ledger::new(8);
        let first = written(&ledger);
        let claim = ledger.begin_write(AT..AT + 1).unwrap();
        assert!(
            now(&ledger, stamp(first)) && now(&ledger, stamp(claim.version())) && !now(&ledger, Word::Zero)
        );
        let discarding = ledger.begin_discard(AT..AT + 1);
        assert!(now(&ledger, Word::Zero));
        let second = claim.version();
        claim.done();
        discarding.done();
        assert!(now(&ledger, Word::Zero) && now(&ledger, stamp(second)) && !now(&ledger, stamp(first)));
    }

    #[test]
    fn what_ends_during_the_read_may_be_in_it() {
        let ledger = Ledger::new(8);
        let first = written(&ledger);
        let before = ledger.before_read(AT..AT + 1)[0];
        let second = written(&ledger);
        ledger.begin_discard(AT..AT + 1).done();
        for found in [stamp(first), stamp(second), Word::Zero] {
            assert!(ledger.judge(AT, &before, [found].into_iter()).is_ok(), "{found:?}");
        }
    }

    #[test]
    fn a_sector_has_one_writer_at_a_time() {
        let ledger = Ledger::new(8);
        let claim = ledger.begin_write(3..6).unwrap();
        assert!(ledger.begin_write(0..4).is_none());
        // What the refused one had claimed is free again.
        ledger.begin_write(0..3).unwrap().done();
        claim.done();
        ledger.begin_write(0..8).unwrap().done();
    }
}
