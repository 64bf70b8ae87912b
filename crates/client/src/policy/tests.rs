// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every policy against a disk made of memory that judges answers as the driver does: what is written is read back, and
//! no answer is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use blockyard_abi::simblk::{DIRECTION_READ, DIRECTION_WRITE, MapAnswer, MapEntry, SECTOR_SIZE};
use proptest::prelude::*;

use super::{Spec, is_write};
use crate::error::{Error, Result};
use crate::mapper::{Outcome, Request, Wait};
use crate::serve::{Server, Source};

const SECTORS: u64 = 8;

/// One request: some sectors in a row, read or written, or written without success.
#[derive(Debug, Clone)]
struct Io {
    first: u64,
    sectors: u64,
    write: bool,
    fails: bool,
}

/// A disk whose sectors hold the number of the write that they are from, 0 for none.
struct MemoryDisk {
    pages: u64,
    physical: Vec<[u64; SECTORS as usize]>,
    /// What a user of the disk expects in each logical sector.
    expected: BTreeMap<u64, u64>,
    todo: VecDeque<Io>,
    id: u64,
}

impl MemoryDisk {
    fn map_of(&self, io: &Io) -> Vec<MapEntry> {
        let end = io.first + io.sectors;
        let page = |logical_page: u64| {
            let start_sector = io.first.max(logical_page * SECTORS);
            let sectors = (end.min((logical_page + 1) * SECTORS) - start_sector) as u32;
            let direction = if io.write { DIRECTION_WRITE } else { DIRECTION_READ };
            MapEntry { logical_page, physical_page: logical_page, start_sector, sectors, direction }
        };
        (io.first / SECTORS..end.div_ceil(SECTORS)).map(page).collect()
    }

    /// The rules of `SET_BLK` in `blockyard_abi::simblk`.
    fn judge(&self, map: &[MapEntry], answers: &[MapAnswer]) -> Result<(), String> {
        let inside = |page: u64| page < self.pages;
        let same = map.len() == answers.len()
            && map.iter().zip(answers).all(|(entry, answer)| entry.logical_page == answer.logical_page);
        if !same {
            return Err(format!("not one answer per page: {answers:?}"));
        }
        if !answers.iter().all(|a| inside(a.physical_page) && inside(a.new_physical_page)) {
            return Err(format!("beyond the end: {answers:?}"));
        }
        match map.first().is_some_and(is_write) {
            true => judge_writes(answers),
            false if answers.iter().all(|a| a.physical_page == a.new_physical_page) => Ok(()),
            false => Err(format!("a read moves a page: {answers:?}")),
        }
    }

    fn serve(&mut self, map: &[MapEntry], answers: &[MapAnswer]) {
        let before: Vec<_> = answers.iter().map(|a| self.physical[a.physical_page as usize]).collect();
        for ((entry, answer), mut page) in map.iter().zip(answers).zip(before) {
            for sector in entry.start_sector..entry.start_sector + u64::from(entry.sectors) {
                let place = &mut page[(sector % SECTORS) as usize];
                if is_write(entry) {
                    *place = self.id;
                    self.expected.insert(sector, self.id);
                }
                assert_eq!(*place, self.expected.get(&sector).copied().unwrap_or(0), "sector {sector}");
            }
            self.physical[answer.new_physical_page as usize] = page;
        }
    }
}

fn judge_writes(answers: &[MapAnswer]) -> Result<(), String> {
    let new: BTreeSet<u64> = answers.iter().map(|a| a.new_physical_page).collect();
    if new.len() != answers.len() {
        return Err(format!("a new page is given twice: {answers:?}"));
    }
    let steals = |a: &&MapAnswer| a.new_physical_page != a.physical_page && new.contains(&a.physical_page);
    match answers.iter().find(steals) {
        Some(answer) => Err(format!("page {} is still read from: {answers:?}", answer.physical_page)),
        None => Ok(()),
    }
}

impl Source for MemoryDisk {
    fn next_request(&mut self, _: Wait) -> Result<Option<Request>> {
        let Some(io) = self.todo.front() else { return Err(Error::DiskGone { index: 0 }) };
        let entries = self.map_of(io).len() as u32;
        Ok(Some(Request { id: self.id, bytes: io.sectors * SECTOR_SIZE, entries }))
    }

    fn map(&self, _: &Request) -> Result<Vec<MapEntry>> {
        Ok(self.map_of(&self.todo[0]))
    }

    fn answer(&mut self, _: &Request, answers: &[MapAnswer]) -> Result<Outcome> {
        let io = self.todo.pop_front().expect("it was asked for");
        let map = self.map_of(&io);
        self.judge(&map, answers).map_err(|why| Error::Refused { doing: "answer".into(), why })?;
        self.id += 1;
        if io.fails {
            return Ok(Outcome::Failed(28));
        }
        self.serve(&map, answers);
        Ok(Outcome::Done)
    }
}

fn io(pages: u64) -> impl Strategy<Value = Io> {
    (0..pages * SECTORS, 1..=4 * SECTORS, prop::bool::weighted(0.7), prop::bool::weighted(0.1)).prop_map(
        move |(first, sectors, write, fails)| {
            let sectors = sectors.min(pages * SECTORS - first);
            Io { first, sectors, write, fails }
        },
    )
}

fn work() -> impl Strategy<Value = (u64, Vec<Io>)> {
    (1u64..24).prop_flat_map(|pages| (Just(pages), prop::collection::vec(io(pages), 1..200)))
}

fn serve_all(spec: Spec, pages: u64, todo: Vec<Io>) -> Result<(), TestCaseError> {
    let count = todo.len() as u64;
    let physical = vec![[0; SECTORS as usize]; pages as usize];
    let disk = MemoryDisk { pages, physical, expected: BTreeMap::new(), todo: todo.into(), id: 1 };
    let mut server = Server::new(disk, spec.policy(pages));
    let served = server.run(Some(count), &|| false, &mut |_| ());
    prop_assert!(served.is_ok(), "{spec}: {served:?}");
    prop_assert_eq!(server.summary().requests, count);
    prop_assert_eq!(server.summary().reads + server.summary().writes, count);
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back((pages, todo) in work(), by: u64, seed: u64) {
        for spec in [Spec::Identity, Spec::Shift(by), Spec::Random(seed), Spec::Log] {
            serve_all(spec, pages, todo.clone())?;
        }
    }
}

/// The disk of these tests finds mistakes: a policy that forgets where it put a page is caught.
#[test]
#[should_panic(expected = "sector 0")]
fn a_forgetful_policy_is_caught() {
    struct Forgetful(u64);
    impl super::Policy for Forgetful {
        fn plan(&mut self, map: &[MapEntry]) -> Vec<MapAnswer> {
            self.0 += 1;
            map.iter().map(|entry| super::stay(entry.logical_page, self.0)).collect()
        }
    }
    let todo = [true, false].map(|write| Io { first: 0, sectors: 8, write, fails: false });
    let physical = vec![[0; SECTORS as usize]; 8];
    let disk = MemoryDisk { pages: 8, physical, expected: BTreeMap::new(), todo: todo.into(), id: 1 };
    let _ = Server::new(disk, Box::new(Forgetful(0))).run(Some(2), &|| false, &mut |_| ());
}
