// SPDX-License-Identifier: MIT OR Apache-2.0
//! Round trips through a virtqueue, one at a time: a message to a device that echoes, or a sector from a disk.
//!
//! Under `-icount` the clock counts instructions, but those of a processor that waits for the host are none of the trip's.
//! An idle processor's clock jumps, too. So a thread of the lowest class spins while the trips are made: the clock then
//! counts instructions alone, and what the spinning took of them, by the number of its turns, is told beside.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::disk::Memory;
use crate::nanos;

/// Bytes of each: a sector.
const BYTES: usize = 512;
/// How long the spinning is timed by itself.
const CALIBRATION: Duration = Duration::from_millis(100);

/// What was found.
#[derive(Debug, Serialize)]
pub struct Trips {
    trips: u64,
    /// From the first to the last.
    trip_ns: u64,
    /// What of that was spent spinning; 0 without.
    spun_ns: u64,
}

/// Makes so many; with `spin`, so that instructions can be told.
pub fn run(device: &Path, trips: u64, spin: bool) -> io::Result<Trips> {
    let mut way = Way::open(device)?;
    // The first one finds nothing in any cache.
    way.trip()?;
    if !spin {
        let took = timed(&mut way, trips)?;
        return Ok(Trips { trips, trip_ns: nanos(took), spun_ns: 0 });
    }
    let spinner = Spinner::default();
    thread::scope(|scope| {
        scope.spawn(|| spinner.spin());
        let result = spinner.beside(|| timed(&mut way, trips));
        spinner.stop.store(true, Ordering::Relaxed);
        let (took, spun) = result?;
        Ok(Trips { trips, trip_ns: nanos(took), spun_ns: nanos(spun) })
    })
}

fn timed(way: &mut Way, trips: u64) -> io::Result<Duration> {
    let begun = Instant::now();
    (0..trips).try_for_each(|_| way.trip())?;
    Ok(begun.elapsed())
}

/// How a trip is made.
enum Way {
    Echo(File),
    Sector(File, Memory),
}

impl Way {
    fn open(device: &Path) -> io::Result<Self> {
        if std::fs::metadata(device)?.file_type().is_block_device() {
            let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
            let disk = OpenOptions::new().read(true).custom_flags(flags).open(device)?;
            Ok(Self::Sector(disk, Memory::new(BYTES)))
        } else {
            Ok(Self::Echo(OpenOptions::new().read(true).write(true).open(device)?))
        }
    }

    fn trip(&mut self) -> io::Result<()> {
        match self {
            Self::Sector(disk, memory) => disk.read_exact_at(memory.bytes_mut(), 0),
            Self::Echo(file) => {
                let (sent, mut back) = ([0xa5; BYTES], [0; BYTES]);
                // A message is what one write gives, and a reply what one read takes.
                if file.write(&sent)? != BYTES || file.read(&mut back)? != BYTES || sent != back {
                    return Err(io::Error::other("another message came back"));
                }
                Ok(())
            }
        }
    }
}

/// Turns a counter whenever nothing else wants the processor.
#[derive(Default)]
struct Spinner {
    turns: AtomicU64,
    stop: AtomicBool,
}

impl Spinner {
    fn spin(&self) {
        if let Err(error) = lowest_class() {
            // Then it takes its share of the processor, which is counted as well.
            eprintln!("gauge: cannot spin in the background: {error}");
        }
        while !self.stop.load(Ordering::Relaxed) {
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs something; how long it took, and how much of that was spinning.
    fn beside(&self, what: impl FnOnce() -> io::Result<Duration>) -> io::Result<(Duration, Duration)> {
        let (alone, all) = self.turned(|| {
            let begun = Instant::now();
            thread::sleep(CALIBRATION);
            Ok(begun.elapsed())
        })?;
        if alone == 0 {
            return Err(io::Error::other("the spinning thread never ran"));
        }
        let (turns, took) = self.turned(what)?;
        Ok((took, all.mul_f64(turns as f64 / alone as f64)))
    }

    fn turned(&self, what: impl FnOnce() -> io::Result<Duration>) -> io::Result<(u64, Duration)> {
        let before = self.turns.load(Ordering::Relaxed);
        let took = what()?;
        Ok((self.turns.load(Ordering::Relaxed) - before, took))
    }
}

/// Puts the calling thread behind all others (`SCHED_IDLE`).
fn lowest_class() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the parameter, which lives until it returns, and changes nothing but how this thread is
    // scheduled.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
