// SPDX-License-Identifier: MIT OR Apache-2.0
//! A log-structured translation layer, as a flash disk has one: a page is never written over while there is another; each
//! write goes to a fresh page, and the page that held the old data becomes garbage, to be used again in its turn.
//!
//! The disk has as many physical pages as logical ones, and no more: there is nothing spare. So:
//!
//! - Pages that were never written are fresh, and handed out in order: the log.
//! - When they are used up, garbage is reclaimed, the oldest first, which spreads the wear evenly.
//! - The last two pages are kept for last: while a logical page has never been written, reading it must show zeroes, and a
//!   page that was never written is where they are. Two, because a request may write parts of two such pages, its
//!   first and its last; one may then take the one page while the other takes its zeroes from the other.
//! - A disk that is full of data has neither fresh pages nor garbage: then pages are written in place.
//!
//! Real flash erases blocks of many pages and copies the living ones first. A mapper cannot copy by itself, it only
//! answers requests, so here garbage is reclaimed page by page.

use std::collections::{HashMap, VecDeque};

use blockyard_abi::simblk::{MAX_MAP_ENTRIES, MapAnswer, MapEntry, PAGE_SIZE, SECTOR_SIZE};

use super::{Policy, is_write, stay};

/// Pages of zeroes that are kept while they are needed.
const ZEROES: u64 = 2;

/// The log. It begins empty, so the disk must be too.
#[derive(Debug)]
pub struct Log {
    pages: u64,
    /// Where each logical page that was ever written lives.
    home: HashMap<u64, u64>,
    /// The next page of the log that was never written; the log ends where the pages of zeroes begin.
    fresh: u64,
    log_end: u64,
    /// Pages of zeroes.
    zeroes: VecDeque<u64>,
    /// Pages whose data has moved on, the oldest first.
    garbage: VecDeque<u64>,
    stats: Stats,
}

/// What has happened to pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stats {
    written: u64,
    made_garbage: u64,
    reclaimed: u64,
    in_place: u64,
    bytes_copied: u64,
}

impl Log {
    /// An empty log on a disk of `pages` pages that holds no data.
    ///
    /// # Panics
    /// If there are no pages: no disk is empty.
    pub fn new(pages: u64) -> Self {
        assert!(pages > 0, "a disk has pages");
        let log_end = pages.saturating_sub(ZEROES);
        Self {
            pages,
            home: HashMap::new(),
            fresh: 0,
            log_end,
            zeroes: (log_end..pages).collect(),
            garbage: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Where a page lives, or where its zeroes are.
    fn read(&self, logical: u64) -> MapAnswer {
        let home = self.home.get(&logical).or(self.zeroes.front());
        // A page without a home needs one page that no other has: there is a page of zeroes as long as there is such a page.
        stay(logical, home.copied().unwrap_or(logical))
    }

    /// Pages that a request may be given: fresh ones, then garbage. What the request itself turns into garbage is not among
    /// them, for it still reads from there.
    fn supply(&self) -> VecDeque<u64> {
        let pages = (self.fresh..self.log_end).chain(self.garbage.iter().copied());
        pages.take(MAX_MAP_ENTRIES as usize).collect()
    }

    /// Plans the writes to pages without a home. There is a page for each; the pages of zeroes go last, and
    /// first to writes of parts, which need the zeroes.
    fn plan_new(&self, map: &[MapEntry], plan: &mut [MapAnswer], supply: &mut VecDeque<u64>) {
        let mut new: Vec<usize> = (0..map.len()).filter(|&i| self.is_new(&map[i])).collect();
        new.sort_by_key(|&i| is_whole(&map[i]));
        let short = new.len().saturating_sub(supply.len());
        for (&i, &page) in new.iter().zip(&self.zeroes).take(short) {
            plan[i] = stay(map[i].logical_page, page);
        }
        for &i in new.iter().skip(short) {
            let Some(page) = supply.pop_front() else { break };
            plan[i] = stay(map[i].logical_page, page);
            if page < self.fresh && !is_whole(&map[i]) {
                // Reclaimed, so not zeroes by itself.
                plan[i].physical_page = self.zeroes.get(short).copied().unwrap_or(page);
            }
        }
    }

    /// Plans the writes to pages that have a home: to another page while there is one.
    fn plan_old(&self, map: &[MapEntry], plan: &mut [MapAnswer], supply: &mut VecDeque<u64>) {
        let old = |entry: &MapEntry| is_write(entry) && !self.is_new(entry);
        for (_, answer) in map.iter().zip(plan).filter(|(entry, _)| old(entry)) {
            answer.new_physical_page = supply.pop_front().unwrap_or(answer.physical_page);
        }
    }

    fn is_new(&self, entry: &MapEntry) -> bool {
        is_write(entry) && !self.home.contains_key(&entry.logical_page)
    }

    /// The pages that a plan took are in use from now on. Those of the supply are its first ones.
    fn take(&mut self, plan: &[MapAnswer]) {
        let moved = plan.iter().filter(|a| self.home.get(&a.logical_page) != Some(&a.new_physical_page));
        let taken: Vec<u64> = moved.map(|answer| answer.new_physical_page).collect();
        let zeroes = taken.iter().filter(|page| self.zeroes.contains(page)).count();
        let fresh = taken.iter().filter(|page| (self.fresh..self.log_end).contains(page)).count();
        let reclaimed = taken.len() - zeroes - fresh;
        self.zeroes.drain(..zeroes);
        self.fresh += fresh as u64;
        self.garbage.drain(..reclaimed);
        self.stats.reclaimed += reclaimed as u64;
    }

    /// A page has a new home, or was written where it was.
    fn settle(&mut self, entry: &MapEntry, new: u64) {
        self.stats.written += 1;
        match self.home.insert(entry.logical_page, new) {
            None => {}
            Some(old) if old == new => self.stats.in_place += 1,
            Some(old) => {
                self.garbage.push_back(old);
                self.stats.made_garbage += 1;
                self.stats.bytes_copied += PAGE_SIZE - u64::from(entry.sectors) * SECTOR_SIZE;
            }
        }
    }
}

/// Whether all of the page is written.
fn is_whole(entry: &MapEntry) -> bool {
    u64::from(entry.sectors) * SECTOR_SIZE == PAGE_SIZE
}

impl Policy for Log {
    fn plan(&mut self, map: &[MapEntry]) -> Vec<MapAnswer> {
        let mut plan: Vec<_> = map.iter().map(|entry| self.read(entry.logical_page)).collect();
        let mut supply = self.supply();
        self.plan_new(map, &mut plan, &mut supply);
        self.plan_old(map, &mut plan, &mut supply);
        plan
    }

    fn done(&mut self, map: &[MapEntry], plan: &[MapAnswer]) {
        if !map.first().is_some_and(is_write) {
            return;
        }
        self.take(plan);
        for (entry, answer) in map.iter().zip(plan) {
            self.settle(entry, answer.new_physical_page);
        }
    }

    fn report(&self) -> Vec<(&'static str, String)> {
        let Stats { written, made_garbage, reclaimed, in_place, bytes_copied } = self.stats;
        let fresh = self.log_end - self.fresh + self.zeroes.len() as u64;
        vec![
            ("pages written", format!("{written}, of these {in_place} in place")),
            ("pages of data", format!("{} of {}", self.home.len(), self.pages)),
            ("fresh pages left", fresh.to_string()),
            ("garbage", format!("{made_garbage} made, {reclaimed} reclaimed, {} now", self.garbage.len())),
            ("copied along", format!("{bytes_copied} bytes that a write left untouched")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_abi::simblk::DIRECTION_WRITE;

    fn write(log: &mut Log, logical_page: u64) -> u64 {
        let map = [MapEntry { logical_page, sectors: 8, direction: DIRECTION_WRITE, ..MapEntry::default() }];
        let plan = log.plan(&map);
        log.done(&map, &plan);
        plan[0].new_physical_page
    }

    #[test]
    fn writes_go_to_fresh_pages_in_order() {
        let mut log = Log::new(8);
        let places: Vec<_> = [5, 5, 0, 5].map(|page| write(&mut log, page)).into();
        assert_eq!(places, [0, 1, 2, 3]);
        assert_eq!(log.garbage, [0, 1]);
    }

    #[test]
    fn garbage_is_reclaimed_in_its_turn() {
        let mut log = Log::new(5);
        let places: Vec<_> = (0..7).map(|_| write(&mut log, 2)).collect();
        assert_eq!(places, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!((log.stats.made_garbage, log.stats.reclaimed), (6, 4));
    }

    #[test]
    fn what_was_never_written_reads_as_zeroes_until_the_last_page_is() {
        let mut log = Log::new(3);
        assert_eq!(write(&mut log, 0), 0);
        assert_eq!(log.read(2).physical_page, 1);
        assert_eq!(write(&mut log, 1), 1, "a page of zeroes");
        assert_eq!(log.read(2).physical_page, 2, "the other one");
        assert_eq!(write(&mut log, 2), 2);
        assert_eq!(log.stats.in_place, 0);
    }

    #[test]
    fn a_full_disk_is_written_in_place() {
        let mut log = Log::new(2);
        for page in [0, 1, 0, 1] {
            write(&mut log, page);
        }
        assert_eq!(log.stats.in_place, 2);
        assert!(log.report().iter().any(|(name, value)| *name == "fresh pages left" && value == "0"));
    }

    #[test]
    fn a_failed_request_changes_nothing() {
        let mut log = Log::new(8);
        let map =
            [MapEntry { logical_page: 1, sectors: 8, direction: DIRECTION_WRITE, ..MapEntry::default() }];
        assert_eq!(log.plan(&map), log.plan(&map));
        assert_eq!(write(&mut log, 1), 0);
    }
}
