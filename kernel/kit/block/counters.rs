// SPDX-License-Identifier: GPL-2.0

//! Counters of a disk's I/O that cost next to nothing to keep.
//!
//! One counter per event would be one cache line that all CPUs fight over. So there are several
//! sets, each on cache lines of its own; a CPU adds to the set of its number, and reading adds the
//! sets up. Adding is atomic, though nearly always without company, because the task may move to
//! another CPU between finding the set and adding: no event is ever lost. Cost: two uncontended
//! atomic additions per read or write (about 10 ns on hardware), 2 KiB per disk. The block layer's
//! own statistics are no substitute: they do not tell writes of zeroes from writes, nor count
//! errors.

// Not the `kernel` crate's atomics, each of which is a call. The two memory models only differ in
// what they order, and these counters order nothing.
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kernel::bindings;

use super::{Bio, Op};

const SETS: usize = 16;

/// What is counted.
#[derive(Clone, Copy)]
enum Event {
    Reads,
    Writes,
    Flushes,
    Discards,
    Zeroes,
    BytesRead,
    BytesWritten,
    Errors,
}

const EVENTS: usize = Event::Errors as usize + 1;

#[repr(align(128))]
struct Set([AtomicU64; EVENTS]);

impl Set {
    #[inline(always)]
    fn add(&self, event: Event, amount: u64) {
        self.0[event as usize].fetch_add(amount, Relaxed);
    }
}

/// Counters of I/O by kind, for one disk.
pub struct Counters([Set; SETS]);

/// What was counted so far. The fields are read one after the other, while others count.
#[derive(Clone, Copy, Default, Debug)]
pub struct Totals {
    /// Bios that read.
    pub reads: u64,
    /// Bios that write data.
    pub writes: u64,
    /// Bios that only flush.
    pub flushes: u64,
    /// Bios that discard.
    pub discards: u64,
    /// Bios that write zeroes.
    pub zeroes: u64,
    /// Bytes that were to be read.
    pub bytes_read: u64,
    /// Bytes that were to be written, without zeroes.
    pub bytes_written: u64,
    /// Bios that ended with an error.
    pub errors: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self([const { Set([const { AtomicU64::new(0) }; EVENTS]) }; SETS])
    }
}

impl Counters {
    #[inline(always)]
    fn set(&self) -> &Set {
        // SAFETY: Reading the number of the CPU has no precondition; it may be out of date at once,
        // which is fine here.
        let cpu = unsafe { bindings::raw_smp_processor_id() };
        &self.0[cpu as usize % SETS]
    }

    /// Counts a bio that was submitted.
    #[inline]
    pub fn submitted(&self, bio: &Bio, op: Op) {
        let set = self.set();
        let bytes = u64::from(bio.size());
        match op {
            Op::Read => {
                set.add(Event::Reads, 1);
                set.add(Event::BytesRead, bytes);
            }
            Op::Write => {
                set.add(Event::Writes, 1);
                set.add(Event::BytesWritten, bytes);
            }
            Op::Flush => set.add(Event::Flushes, 1),
            Op::Discard => set.add(Event::Discards, 1),
            Op::WriteZeroes => set.add(Event::Zeroes, 1),
            Op::Other(_) => (),
        }
    }

    /// Counts a bio that ends with an error.
    #[cold]
    pub fn failed(&self) {
        self.set().add(Event::Errors, 1);
    }

    fn total(&self, event: Event) -> u64 {
        let values = self.0.iter().map(|set| set.0[event as usize].load(Relaxed));
        values.fold(0, u64::wrapping_add)
    }

    /// Adds up.
    pub fn totals(&self) -> Totals {
        Totals {
            reads: self.total(Event::Reads),
            writes: self.total(Event::Writes),
            flushes: self.total(Event::Flushes),
            discards: self.total(Event::Discards),
            zeroes: self.total(Event::Zeroes),
            bytes_read: self.total(Event::BytesRead),
            bytes_written: self.total(Event::BytesWritten),
            errors: self.total(Event::Errors),
        }
    }
}
