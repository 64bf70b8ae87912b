// SPDX-License-Identifier: MIT OR Apache-2.0
//! Readers, writers and discards at work on the same sectors, and whether what is read is what it may be.
//!
//! Each word that is written is stamped with its sector and the number of the write. A [`ledger`] knows what was under
//! way when, so of each word that is read it says whether there is an order of the writes and discards in which that is
//! what a disk gives. A disk that uses memory which it has given away, loses a write to a race, shows a page before it is
//! filled or brings back what was discarded gives something else, sooner or later.

mod ledger;
mod stamp;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use serde::Serialize;

use crate::disk::{ALIGN, Memory};
use ledger::Ledger;
use stamp::SECTOR;

/// Sectors that all of it happens on, in the middle of what they share with nobody: 20 chunks of 64 KiB.
const SECTORS: usize = 2560;
/// Sectors of the longest operation: three chunks.
const LONGEST: usize = 384;
/// Threads of each kind.
const THREADS: usize = 3;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Done {
    reads: u64,
    writes: u64,
    discards: u64,
    /// Words that were looked at, each of which was right.
    words: u64,
}

struct Race<'a> {
    file: &'a File,
    ledger: Ledger,
    stop: AtomicBool,
    /// The first thing that went wrong.
    wrong: Mutex<Option<io::Error>>,
    counts: [AtomicU64; 4],
}

/// Lets them race for so long; an error tells of the first word that is wrong.
pub fn run(path: &Path, seconds: u64, seed: u64) -> io::Result<Done> {
    let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    // So that the ledger is right from the beginning.
    discard(&file, 0, SECTORS, true)?;
    let race = Race {
        file: &file,
        ledger: Ledger::new(SECTORS),
        stop: AtomicBool::new(false),
        wrong: Mutex::new(None),
        counts: Default::default(),
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for n in 0..3 * THREADS {
            let race = &race;
            let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n as u64 + 1));
            scope.spawn(move || race.work([Kind::Read, Kind::Write, Kind::Discard][n % 3], random, until));
        }
    });
    if let Some(error) = race.wrong.lock().unwrap_or_else(|e| e.into_inner()).take() {
        return Err(error);
    }
    // Nobody is at work any more: now every word has one value that it may have.
    race.check(0..SECTORS, &mut Memory::new(SECTORS * SECTOR))?;
    let [reads, writes, discards, words] = race.counts.map(AtomicU64::into_inner);
    Ok(Done { reads, writes, discards, words })
}

/// What a thread does again and again.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Read,
    Write,
    Discard,
}

impl Race<'_> {
    fn work(&self, kind: Kind, mut random: Random, until: Instant) {
        let mut memory = Memory::new(LONGEST * SECTOR);
        while !self.stop.load(Relaxed) && Instant::now() < until {
            let done = match kind {
                Kind::Read => self.read(&mut random, &mut memory),
                Kind::Write => self.write(&mut random, &mut memory),
                Kind::Discard => self.discard(&mut random),
            };
            if let Err(error) = done {
                self.stop.store(true, Relaxed);
                self.wrong.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
            }
        }
    }

    fn count(&self, what: usize, by: u64) {
        self.counts[what].fetch_add(by, Relaxed);
    }

    fn read(&self, random: &mut Random, memory: &mut Memory) -> io::Result<()> {
        self.check(random.range(), memory)?;
        self.count(0, 1);
        Ok(())
    }

    fn check(&self, range: std::ops::Range<usize>, memory: &mut Memory) -> io::Result<()> {
        let bytes = &mut memory.bytes_mut()[..range.len() * SECTOR];
        let before = self.ledger.before_read(range.clone());
        self.file.read_exact_at(bytes, (range.start * SECTOR) as u64)?;
        for (sector, before) in range.zip(before) {
            let at = (sector - before.first) * SECTOR;
            let found = stamp::words(&bytes[at..at + SECTOR]);
            self.ledger.judge(sector, &before, found).map_err(io::Error::other)?;
            self.count(3, (SECTOR / 8) as u64);
        }
        Ok(())
    }

    fn write(&self, random: &mut Random, memory: &mut Memory) -> io::Result<()> {
        // One writer of a sector at a time: what two would leave is anybody's guess, also on a disk of iron.
        let Some(claim) = self.ledger.begin_write(random.range()) else { return Ok(()) };
        let range = claim.range();
        let bytes = &mut memory.bytes_mut()[..range.len() * SECTOR];
        for (sector, bytes) in range.clone().zip(bytes.chunks_exact_mut(SECTOR)) {
            stamp::put(bytes, sector, claim.version());
        }
        self.file.write_all_at(bytes, (range.start * SECTOR) as u64)?;
        claim.done();
        self.count(1, 1);
        Ok(())
    }

    fn discard(&self, random: &mut Random) -> io::Result<()> {
        let range = random.range();
        let discarding = self.ledger.begin_discard(range.clone());
        // Giving memory back, three times out of four; or zeroes in place.
        discard(self.file, range.start, range.len(), random.below(4) > 0)?;
        discarding.done();
        self.count(2, 1);
        Ok(())
    }
}

/// Makes sectors zero. Both ways promise that; a plain discard does not, of what is less than its granularity.
fn discard(file: &File, first: usize, sectors: usize, release: bool) -> io::Result<()> {
    let how = if release {
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE
    } else {
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE
    };
    Ok(fallocate(file, how, (first * SECTOR) as u64, (sectors * SECTOR) as u64)?)
}

/// xorshift64*, by G. Marsaglia and S. Vigna: each thread has its own.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    /// Where something happens: sectors, pages or chunks, or something odd across their borders.
    fn range(&mut self) -> std::ops::Range<usize> {
        let (unit, most) = [(1, 24), (ALIGN / SECTOR, 4), (128, 3), (1, LONGEST)][self.below(4)];
        let len = unit * (1 + self.below(most));
        let first = self.below((SECTORS - len) / unit + 1) * unit;
        first..first + len
    }
}
