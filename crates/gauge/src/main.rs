// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gauge`: measures in the guest what fio does not. It prints one line of JSON; times are nanoseconds of the guest's
//! monotonic clock, which under QEMU's `-icount` are instructions.
//!
//!     gauge fill DISK                writes all of the disk once, sequentially (--bytes N: the first N bytes of it)
//!     gauge lifecycle DISK           how long filling a new disk, zeroing it whole and discarding it whole take, and what
//!                                    memory was taken beside the data
//!     gauge scatter DISK             how long filling a new disk page by page, all over the place, and discarding it whole
//!                                    take, and what memory was taken beside the data
//!     gauge race DISK                what becomes of sectors that are read, written and discarded at the same time: an error
//!                                    if one has what no order of these could have left there
//!     gauge copy BYTES AREA TIMES    how long so many copies of BYTES take, from one place after the other of an area of
//!                                    AREA bytes
//!     gauge trips DEVICE TIMES       how long so many round trips to a device take, one at a time: messages to one that echoes,
//!                                    or sectors of a disk

mod disk;
mod memory;
mod race;
mod trips;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde::Serialize;

use disk::Disk;

#[derive(Debug, Parser)]
#[command(name = "gauge", about = "Measures a disk, or memory, in the guest")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write all of a disk once
    Fill {
        /// The block device; what it holds is lost
        disk: PathBuf,
        /// No more than so many bytes, from its beginning
        #[arg(long)]
        bytes: Option<u64>,
    },
    /// Fill a disk that was never written to, zero it, fill it again, discard it
    Lifecycle {
        /// The block device; what it holds is lost
        disk: PathBuf,
    },
    /// Fill a disk that was never written to page by page, in a scattered order, and discard it
    Scatter {
        /// The block device; what it holds is lost
        disk: PathBuf,
    },
    /// Read, write and discard the same sectors at the same time, and check what is read
    Race {
        /// The block device; what it holds is lost
        disk: PathBuf,
        /// For so long
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Chooses what is done where
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Copy memory
    Copy {
        /// Bytes of one copy
        bytes: usize,
        /// Bytes of what is copied from: as many as a disk has, so that the processor's cache helps neither
        area: usize,
        /// How often
        times: u32,
    },
    /// Make round trips to a device: messages that it echoes, or sectors of a disk that are read
    Trips {
        /// The file that echoes, or the block device
        device: PathBuf,
        /// How many
        times: u64,
        /// Keep the processor busy while it would wait, and tell how long: for a clock that counts instructions
        #[arg(long)]
        spin: bool,
    },
}

/// What is printed: what was not measured is left out.
#[derive(Debug, Default, Serialize)]
struct Measured {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fill_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zero_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discard_ns: Option<u64>,
    /// Memory that filling took beyond the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_ns: Option<u64>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Fill { disk, bytes } => told(fill(&disk, bytes)),
        Command::Lifecycle { disk } => told(lifecycle(&disk)),
        Command::Scatter { disk } => told(scatter(&disk)),
        Command::Race { disk, seconds, seed } => told(race::run(&disk, seconds, seed)),
        Command::Trips { device, times, spin } => told(trips::run(&device, times, spin)),
        Command::Copy { bytes, area, times } => told(copy(bytes, area, times)),
    };
    match done {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gauge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn told(what: io::Result<impl Serialize>) -> io::Result<String> {
    Ok(serde_json::to_string(&what?)?)
}

fn fill(path: &std::path::Path, bytes: Option<u64>) -> io::Result<Measured> {
    let disk = Disk::open(path)?.at_most(bytes.unwrap_or(u64::MAX));
    let took = disk.fill()?;
    Ok(Measured { bytes: disk.bytes(), fill_ns: Some(nanos(took)), ..Measured::default() })
}

fn lifecycle(path: &std::path::Path) -> io::Result<Measured> {
    let disk = Disk::open(path)?;
    let before = memory::free()?;
    let fill = disk.fill()?;
    let taken = before - memory::free()?;
    let zero = disk.zero()?;
    disk.fill()?;
    let discard = disk.discard()?;
    Ok(Measured {
        bytes: disk.bytes(),
        fill_ns: Some(nanos(fill)),
        zero_ns: Some(nanos(zero)),
        discard_ns: Some(nanos(discard)),
        beside_bytes: Some(taken - disk.bytes() as i64),
        ..Measured::default()
    })
}

fn scatter(path: &std::path::Path) -> io::Result<Measured> {
    let disk = Disk::open(path)?;
    let before = memory::free()?;
    let fill = disk.scatter()?;
    let taken = before - memory::free()?;
    let discard = disk.discard()?;
    Ok(Measured {
        bytes: disk.bytes(),
        fill_ns: Some(nanos(fill)),
        discard_ns: Some(nanos(discard)),
        beside_bytes: Some(taken - disk.bytes() as i64),
        ..Measured::default()
    })
}

fn copy(bytes: usize, area: usize, times: u32) -> io::Result<Measured> {
    if bytes == 0 || area < bytes {
        let message = format!("an area of {area} bytes has no place for a copy of {bytes}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let (from, mut to) = (vec![0xa5u8; area], vec![0u8; bytes]);
    let mut places = from.chunks_exact(bytes).cycle();
    let begun = Instant::now();
    for _ in 0..times {
        let Some(place) = places.next() else { break };
        to.copy_from_slice(std::hint::black_box(place));
        std::hint::black_box(&mut to);
    }
    let took = begun.elapsed();
    Ok(Measured { bytes: bytes as u64, copy_ns: Some(nanos(took)), ..Measured::default() })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
