// SPDX-License-Identifier: MIT OR Apache-2.0
//! I/O on whatever disks there are, so that requests are held, served and failed while the ioctls rain. It has no
//! expectation of success; it must only end.

use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tally::Tally;

/// Disks that are looked for: the lowest numbers, which new disks get.
const DISKS: u32 = 6;
/// Direct I/O wants memory at block boundaries; 4096 is the largest block.
const ALIGN: usize = 4096;
const LONGEST: usize = 64 << 10;

/// Does I/O until told to stop.
pub(crate) fn run(seed: u64, stop: &AtomicBool) -> Tally {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    let mut memory = vec![0xa5; LONGEST + ALIGN];
    while !stop.load(Ordering::Relaxed) {
        let result = burst(&mut random, &mut memory, stop);
        tally.io(result.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1)));
    }
    tally
}

/// Some reads and writes on one disk, until one fails.
fn burst(random: &mut fastrand::Rng, memory: &mut [u8], stop: &AtomicBool) -> Result<()> {
    let disk = open(random.u32(..DISKS))?;
    for _ in 0..random.u32(1..32) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        one(random, &disk, memory)?;
    }
    Ok(())
}

fn open(index: u32) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    options.open(format!("/dev/simblk{index}"))
}

fn one(random: &mut fastrand::Rng, disk: &File, memory: &mut [u8]) -> Result<()> {
    let begin = memory.as_ptr().align_offset(ALIGN);
    let length = 512 << random.u32(0..8);
    let buffer = &mut memory[begin..begin + length];
    let offset = random.u64(..2048) * 512;
    match random.bool() {
        true => disk.write_at(buffer, offset).map(drop),
        false => disk.read_at(buffer, offset).map(drop),
    }
}
