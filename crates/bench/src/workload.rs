// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is done to a disk while it is measured, and which of it is worth measuring.
//!
//! A workload's name says it all: `randread-4k-io_uring-q16-j2` is random reads of 4 KiB by io_uring, 16 at a time in
//! each of 2 jobs. `fresh-` in front: each run begins with the disk as it was when it was made. `path-read` is what a
//! read costs beside the copying: reads of 512 bytes and of 4 KiB are counted, and the line through both is followed down
//! to zero bytes.

use std::fmt;

use crate::clock::Clock;

/// How the I/O is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// pread and pwrite.
    Psync,
    /// io_submit and io_getevents.
    Libaio,
    /// io_uring.
    IoUring,
}

/// Where on the disk, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Anywhere, reading.
    RandRead,
    /// Anywhere, writing.
    RandWrite,
    /// Anywhere, both.
    RandRw,
    /// From the beginning on, reading.
    Read,
    /// From the beginning on, writing.
    Write,
}

/// A stream of I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Io {
    /// Where and which way.
    pub pattern: Pattern,
    /// Bytes of one I/O.
    pub block: u32,
    /// How.
    pub engine: Engine,
    /// How many at a time in each job.
    pub depth: u32,
    /// How many do it at a time.
    pub jobs: u32,
    /// Whether each run begins with the disk as it was made; then it touches each block once.
    pub fresh: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Streams of I/O.
    Io(Io),
    /// What is left of an I/O's cost when nothing is copied.
    Path(Pattern),
    /// A new disk is filled, zeroed and discarded, each of it whole: four comparisons.
    Lifecycle,
    /// A new disk is filled page by page, in a scattered order, and discarded: three comparisons.
    Scatter,
    /// Sequential I/O against a plain copy of memory of the same size.
    Copy(Io),
    /// Round trips through a virtqueue, one at a time.
    Trips,
}

/// The two sizes that the path's cost follows from. Both are less than a page: whole ones may be copied in another way, and
/// then no line goes through both.
pub const PATH_BLOCKS: [u32; 2] = [512, 2048];

/// What is left of a cost per I/O at size 0, by the line through its costs at [`PATH_BLOCKS`].
pub fn path_cost(small: f64, large: f64) -> f64 {
    let [a, b] = PATH_BLOCKS.map(f64::from);
    small - (large - small) / (b - a) * a
}

impl Engine {
    /// fio's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psync => "psync",
            Self::Libaio => "libaio",
            Self::IoUring => "io_uring",
        }
    }
}

impl Pattern {
    /// fio's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RandRead => "randread",
            Self::RandWrite => "randwrite",
            Self::RandRw => "randrw",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Io {
    /// One job that does one I/O at a time, on a full disk.
    pub const fn new(pattern: Pattern, block: u32, engine: Engine) -> Self {
        Self { pattern, block, engine, depth: 1, jobs: 1, fresh: false }
    }

    /// So many at a time.
    pub const fn depth(self, depth: u32) -> Self {
        Self { depth, ..self }
    }

    /// So many jobs.
    pub const fn jobs(self, jobs: u32) -> Self {
        Self { jobs, ..self }
    }

    /// From the disk as it was made, on each run.
    pub const fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fresh {
            f.write_str("fresh-")?;
        }
        let engine = self.engine.name();
        write!(f, "{}-{}-{engine}", self.pattern.name(), Bytes(self.block))?;
        if self.depth > 1 {
            write!(f, "-q{}", self.depth)?;
        }
        if self.jobs > 1 {
            write!(f, "-j{}", self.jobs)?;
        }
        Ok(())
    }
}

/// A size as fio writes it.
struct Bytes(u32);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 => write!(f, "{}m", n >> 20),
            n if n >= 1 << 10 => write!(f, "{}k", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(io) => io.fmt(f),
            Self::Path(pattern) => write!(f, "path-{}", pattern.name()),
            Self::Lifecycle => f.write_str("lifecycle"),
            Self::Scatter => f.write_str("scatter"),
            Self::Copy(io) => write!(f, "copy-{io}"),
            Self::Trips => f.write_str("round-trips"),
        }
    }
}

/// What kind of thing is measured: what is worth asking of it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// A disk that holds data.
    Disk,
    /// A disk that holds data beside one that does not.
    Path,
    /// What serves a virtual disk on the host.
    Backend,
    /// A device that sends back what it is given.
    Echo,
    /// A device-mapper target that passes I/O on.
    Mapping,
    /// A copy-on-write view of a disk.
    Snapshot,
}

const K4: u32 = 4 << 10;
const K128: u32 = 128 << 10;
const M1: u32 = 1 << 20;

impl Suite {
    /// What is measured by this clock, the short way or the long.
    pub fn workloads(self, clock: Clock, quick: bool) -> Vec<Workload> {
        match (self, clock) {
            (Self::Disk, Clock::Wall) if quick => quick_disk(),
            (Self::Disk, Clock::Wall) => disk(),
            (Self::Disk, Clock::Instructions) => disk_instructions(quick),
            (Self::Backend, Clock::Wall) => backend(quick),
            // Another process does the work, whose instructions nobody counts.
            (Self::Backend, Clock::Instructions) => Vec::new(),
            (Self::Echo, _) => vec![Workload::Trips],
            (Self::Path, _) => ios([RandRead, RandWrite].map(|pattern| Io::new(pattern, 512, Psync))),
            (Self::Mapping, Clock::Wall) => mapping(quick),
            (Self::Mapping, Clock::Instructions) => mapping_instructions(quick),
            (Self::Snapshot, _) => snapshot(quick),
        }
    }

    /// Whether in this workload, by its name, ours and its peers copy data, each in its own way: counts of instructions
    /// then say little of which is better.
    pub fn copies(self, workload: &str) -> bool {
        match self {
            Self::Disk => !workload.starts_with("path-") && !workload.starts_with("discard"),
            // One of the two does: what that costs is part of the answer.
            Self::Path => false,
            Self::Backend => true,
            // What is counted is the guest's way to the device and back.
            Self::Echo => false,
            // The copying is done by the disk below, which is the same.
            Self::Mapping => false,
            // Only what was not written yet is read from below.
            Self::Snapshot => !(workload.starts_with("fresh-") && workload.contains("read-")),
        }
    }
}

use Engine::{IoUring, Libaio, Psync};
use Pattern::{RandRead, RandRw, RandWrite, Read, Write};

fn ios(ios: impl IntoIterator<Item = Io>) -> Vec<Workload> {
    ios.into_iter().map(Workload::Io).collect()
}

fn quick_disk() -> Vec<Workload> {
    ios([Io::new(RandRead, K4, Psync), Io::new(RandWrite, K4, Psync), Io::new(Read, K128, Psync)])
}

fn disk() -> Vec<Workload> {
    let mut all = Vec::new();
    for pattern in [RandRead, RandWrite] {
        all.push(Io::new(pattern, K4, Psync));
        all.push(Io::new(pattern, K4, Libaio));
        all.push(Io::new(pattern, K4, Libaio).depth(16));
        all.push(Io::new(pattern, K4, IoUring));
        all.push(Io::new(pattern, K4, IoUring).depth(16));
        all.push(Io::new(pattern, K4, Psync).jobs(2));
        all.push(Io::new(pattern, K4, IoUring).depth(16).jobs(2));
        all.push(Io::new(pattern, K128, Psync));
        all.push(Io::new(pattern, M1, IoUring).depth(16));
    }
    all.push(Io::new(RandRw, K4, Libaio).depth(16));
    for pattern in [Read, Write] {
        all.push(Io::new(pattern, K4, Psync));
        all.push(Io::new(pattern, K128, Psync));
        all.push(Io::new(pattern, K128, IoUring).depth(16));
        all.push(Io::new(pattern, M1, Psync));
    }
    let copies = [Read, Write].map(|pattern| Workload::Copy(Io::new(pattern, M1, Psync)));
    ios(all).into_iter().chain(copies).chain([Workload::Lifecycle, Workload::Scatter]).collect()
}

/// Copies are in none of these figures but the lifecycle's and those that only our own baseline is compared with.
fn disk_instructions(quick: bool) -> Vec<Workload> {
    let mut all = vec![Workload::Path(Read), Workload::Path(Write)];
    let engines: &[Engine] = if quick { &[Psync] } else { &[Psync, Libaio, IoUring] };
    for engine in engines {
        all.extend(ios([Io::new(RandRead, K4, *engine), Io::new(RandWrite, K4, *engine)]));
    }
    if !quick {
        all.extend(ios([Io::new(Read, K128, Psync), Io::new(Write, K128, Psync)]));
        all.extend([Workload::Lifecycle, Workload::Scatter]);
    }
    all
}

fn backend(quick: bool) -> Vec<Workload> {
    let mut all = vec![Io::new(RandRead, K4, Psync), Io::new(RandWrite, K4, Psync)];
    if !quick {
        for pattern in [RandRead, RandWrite] {
            all.push(Io::new(pattern, K4, Libaio).depth(32));
            all.push(Io::new(pattern, K4, IoUring).depth(32));
            all.push(Io::new(pattern, K128, Psync));
            all.push(Io::new(pattern, K128, Libaio).depth(32));
        }
    }
    ios(all)
}

fn mapping(quick: bool) -> Vec<Workload> {
    let mut all = vec![Io::new(RandRead, K4, Psync), Io::new(RandWrite, K4, Psync)];
    if !quick {
        for pattern in [RandRead, RandWrite] {
            all.push(Io::new(pattern, K4, IoUring).depth(16));
            all.push(Io::new(pattern, K128, Psync));
        }
        all.extend([Io::new(Read, M1, Psync), Io::new(Write, M1, Psync)]);
    }
    ios(all)
}

fn mapping_instructions(quick: bool) -> Vec<Workload> {
    let mut all = vec![Io::new(RandRead, K4, Psync), Io::new(RandWrite, K4, Psync)];
    if !quick {
        all.extend([Io::new(RandRead, K4, Libaio), Io::new(RandWrite, K4, IoUring)]);
        all.extend([Io::new(RandRead, K128, Psync), Io::new(RandWrite, K128, Psync)]);
    }
    ios(all)
}

/// Of a view that holds nothing, and of one that holds all.
fn snapshot(quick: bool) -> Vec<Workload> {
    let mut all = vec![Io::new(RandRead, K4, Psync).fresh(), Io::new(RandWrite, K4, Psync).fresh()];
    if !quick {
        all.extend([Io::new(RandRead, K128, Psync).fresh(), Io::new(RandWrite, K128, Psync).fresh()]);
        all.extend([Io::new(RandRead, K4, Psync), Io::new(RandWrite, K4, Psync)]);
        all.extend([Io::new(RandRead, K128, Psync), Io::new(RandWrite, K128, Psync)]);
        all.push(Io::new(RandRead, K4, IoUring).depth(16));
    }
    ios(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_done() {
        let io = Io::new(RandRead, K4, IoUring).depth(16).jobs(2);
        assert_eq!(io.to_string(), "randread-4k-io_uring-q16-j2");
        assert_eq!(Io::new(Write, M1, Psync).fresh().to_string(), "fresh-write-1m-psync");
        assert_eq!(Workload::Path(Read).to_string(), "path-read");
    }

    #[test]
    fn names_are_unique_in_each_suite() {
        for suite in [Suite::Disk, Suite::Mapping, Suite::Snapshot] {
            for (clock, quick) in [(Clock::Wall, false), (Clock::Wall, true), (Clock::Instructions, false)] {
                let mut names: Vec<_> = suite.workloads(clock, quick).iter().map(|w| w.to_string()).collect();
                let all = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), all, "{suite:?} {clock:?}");
            }
        }
    }

    #[test]
    fn a_short_run_is_part_of_the_long_one() {
        for suite in [Suite::Disk, Suite::Mapping, Suite::Snapshot] {
            for clock in [Clock::Wall, Clock::Instructions] {
                let long = suite.workloads(clock, false);
                assert!(suite.workloads(clock, true).iter().all(|w| long.contains(w)), "{suite:?} {clock:?}");
            }
        }
    }

    #[test]
    fn counts_are_taken_of_one_job_alone() {
        for suite in [Suite::Disk, Suite::Mapping] {
            for workload in suite.workloads(Clock::Instructions, false) {
                assert!(!matches!(workload, Workload::Io(io) if io.jobs * io.depth != 1), "{workload}");
            }
        }
    }

    #[test]
    fn only_what_others_copy_is_compared_by_count() {
        for (suite, workload, copies) in [
            (Suite::Disk, "randread-4k-psync", true),
            (Suite::Disk, "path-read", false),
            (Suite::Disk, "discard-full", false),
            (Suite::Disk, "first-fill", true),
            (Suite::Mapping, "randwrite-128k-psync", false),
            (Suite::Snapshot, "fresh-randread-4k-psync", false),
            (Suite::Snapshot, "fresh-randwrite-4k-psync", true),
            (Suite::Snapshot, "randread-4k-psync", true),
        ] {
            assert_eq!(suite.copies(workload), copies, "{suite:?} {workload}");
        }
    }

    #[test]
    fn a_path_is_what_a_line_leaves_at_zero() {
        // 1000 and a quarter for each byte.
        assert!((path_cost(1128.0, 1512.0) - 1000.0).abs() < 1e-9);
        assert_eq!(path_cost(1000.0, 1000.0), 1000.0);
    }
}
