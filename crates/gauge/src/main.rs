// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gauge`: measures in the guest what fio does not. It prints one line of JSON; times are nanoseconds of the guest's
//! monotonic clock, which under QEMU's `-icount` are instructions.
//!
//!     gauge fill DISK                writes all of the disk once, sequentially
//!     gauge lifecycle DISK           how long filling a new disk, zeroing it whole and discarding it whole take, and what
//!                                    memory was taken beside the data
//!     gauge copy BYTES TIMES         how long memory of this size takes to be copied that often

mod disk;
mod memory;

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
    },
    /// Fill a disk that was never written to, zero it, fill it again, discard it
    Lifecycle {
        /// The block device; what it holds is lost
        disk: PathBuf,
    },
    /// Copy memory
    Copy {
        /// Bytes of each of the two areas
        bytes: usize,
        /// How often
        times: u32,
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
        Command::Fill { disk } => fill(&disk),
        Command::Lifecycle { disk } => lifecycle(&disk),
        Command::Copy { bytes, times } => Ok(copy(bytes, times)),
    };
    match done.and_then(|measured| Ok(serde_json::to_string(&measured)?)) {
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

fn fill(path: &std::path::Path) -> io::Result<Measured> {
    let disk = Disk::open(path)?;
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

fn copy(bytes: usize, times: u32) -> Measured {
    let (from, mut to) = (vec![0xa5u8; bytes], vec![0u8; bytes]);
    let begun = Instant::now();
    for _ in 0..times {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
    }
    let took = begun.elapsed();
    Measured { bytes: bytes as u64, copy_ns: Some(nanos(took)), ..Measured::default() }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
