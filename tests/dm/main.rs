// SPDX-License-Identifier: MIT OR Apache-2.0
//! Device-mapper targets, over real disks in a guest.

mod devices;
mod gate;
mod hello;
mod load;
mod matrix;
mod model;
mod snap;
mod stripe2;

use blockyard_lab::{Guest, Result};
use blockyard_tests::on_guest;

/// Boots a guest with these modules loaded, the disks' first: `"simblk size_mb=64"`.
#[track_caller]
pub fn with_modules(modules: &[&str], test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        for module in modules {
            let (name, params) = module.split_once(' ').unwrap_or((module, ""));
            guest.load(name, params)?;
        }
        test(guest)
    });
}

/// Runs a shell script of which every command must succeed.
#[track_caller]
pub fn script(guest: &Guest, lines: &str) -> Result<String> {
    guest.check(&format!("set -e\n{lines}"))
}

/// Tries tables of one line each that must be refused, with what `dmsetup` must say and the sentence that must be
/// in the kernel log.
#[track_caller]
pub fn refused(guest: &Guest, tables: &[(&str, &str, &str)]) -> Result<()> {
    for (table, errno, sentence) in tables {
        let output = guest.exec(&format!("dmsetup create wrong --table '{table}'"))?;
        let said = output.stderr_text();
        assert_eq!(output.status.code(), 1, "{table}: {said}");
        assert!(said.contains(errno), "{table}: dmsetup says {said}");
        let log = guest.dmesg()?;
        let found = log.iter().any(|line| line.text.contains(sentence));
        assert!(
            found,
            "{table}: `{sentence}` is not in the log: {:#?}",
            log.iter().rev().take(4).collect::<Vec<_>>()
        );
    }
    assert_eq!(guest.check("dmsetup ls")?.trim(), "No devices found");
    Ok(())
}

/// What a simulated disk has counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Io {
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
    /// Bios that failed.
    pub errors: u64,
}

impl Io {
    /// The counters of `/dev/simblkDISK`.
    pub fn of(guest: &Guest, disk: u32) -> Result<Self> {
        let text = guest.check(&format!(
            "cd /sys/kernel/debug/simblk/simblk{disk} && cat reads writes flushes discards zeroes errors"
        ))?;
        let numbers: Vec<u64> =
            text.split_whitespace().map(|n| n.parse().expect("a counter is a number")).collect();
        let [reads, writes, flushes, discards, zeroes, errors] = numbers[..] else {
            panic!("six counters: {text}")
        };
        Ok(Self { reads, writes, flushes, discards, zeroes, errors })
    }

    /// What was counted since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            flushes: self.flushes - before.flushes,
            discards: self.discards - before.discards,
            zeroes: self.zeroes - before.zeroes,
            errors: self.errors - before.errors,
        }
    }
}
