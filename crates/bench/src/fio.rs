// SPDX-License-Identifier: MIT OR Apache-2.0
//! fio in the guest: a job file in which the runs of all contenders follow each other, and what it says of each.
//!
//! One fio does all runs of a workload, in turn: the runs of a pair are then only milliseconds apart, so that what
//! disturbs the one mostly disturbs the other too.

use std::fmt::Write;

use blockyard_lab::error::Context;
use blockyard_lab::{Error, Kind, Result};
use serde::Deserialize;

use crate::workload::Io;

/// The points of the latency curve, in percent.
pub const PERCENTILES: [f64; 11] = [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9];

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// After this many milliseconds of the guest's time.
    Millis(u32),
    /// After this many I/Os.
    Ios(u64),
    /// When each block has been touched once.
    WholeDisk,
}

/// One run on one disk.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// The disk's device node.
    pub device: &'a str,
    /// What is done to it.
    pub io: Io,
    /// When it ends.
    pub limit: Limit,
    /// A line of shell that is run before it.
    pub before: Option<&'a str>,
}

/// A file of fio's with these runs, one after the other, on disks of so many MiB.
pub fn job_file(mib: u64, runs: &[Run<'_>]) -> String {
    let points = PERCENTILES.map(|p| p.to_string()).join(":");
    // A size, as a disk that keeps nothing may claim to be of any. The system's clock rather than fio's own reading of the
    // processor's: under -icount that is the count itself.
    let mut text = format!(
        "[global]\ndirect=1\nthread\nsize={mib}m\ngroup_reporting\nrandrepeat=1\nrandseed=20260\n\
         clocksource=clock_gettime\nlat_percentiles=1\nclat_percentiles=0\npercentile_list={points}\n"
    );
    for (at, run) in runs.iter().enumerate() {
        section(&mut text, at, run).expect("writing to a string");
    }
    text
}

fn section(text: &mut String, at: usize, run: &Run<'_>) -> std::fmt::Result {
    let Io { pattern, block, engine, depth, jobs, .. } = run.io;
    writeln!(text, "[run{at}]\nstonewall\nfilename={}", run.device)?;
    writeln!(text, "rw={}\nbs={block}\nioengine={}", pattern.name(), engine.name())?;
    writeln!(text, "iodepth={depth}\nnumjobs={jobs}")?;
    match run.limit {
        Limit::Millis(millis) => writeln!(text, "norandommap\ntime_based\nruntime={millis}ms")?,
        Limit::Ios(ios) => writeln!(text, "norandommap\nio_size={}", ios * u64::from(block))?,
        Limit::WholeDisk => {}
    }
    match run.before {
        Some(line) => writeln!(text, "exec_prerun={line}"),
        None => Ok(()),
    }
}

/// What a run came to: reads and writes together.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// I/Os that were completed.
    pub ios: u64,
    /// How long it took, in milliseconds.
    pub millis: f64,
    /// Mean nanoseconds from the submission of an I/O to its completion.
    pub latency: f64,
    /// Nanoseconds at each of [`PERCENTILES`]; empty of runs that both read and write.
    pub curve: Vec<f64>,
}

impl Outcome {
    /// I/Os a second.
    pub fn iops(&self) -> f64 {
        self.ios as f64 * 1000.0 / self.millis
    }
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "fio version")]
    version: String,
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    jobname: String,
    error: i32,
    read: Side,
    write: Side,
}

#[derive(Deserialize)]
struct Side {
    total_ios: u64,
    runtime: f64,
    lat_ns: Latency,
}

#[derive(Deserialize)]
struct Latency {
    mean: f64,
    #[serde(default)]
    percentile: std::collections::BTreeMap<String, f64>,
}

/// fio's version and what it says of `runs` runs.
pub fn outcomes(said: &str, runs: usize) -> Result<(String, Vec<Outcome>)> {
    // Before the JSON there may be notes, and after it too.
    let from = said.find('{').unwrap_or(0);
    let mut values = serde_json::Deserializer::from_str(&said[from..]).into_iter::<Output>();
    let output =
        values.next().ok_or_else(|| Error::new(Kind::Guest, format!("fio printed no JSON: {said}")))?;
    let output = output.context(Kind::Guest, || "fio printed JSON that is not as its version 3 has it")?;
    if output.jobs.len() != runs {
        let message = format!("fio was given {runs} runs, and tells of {}", output.jobs.len());
        return Err(Error::new(Kind::Guest, message));
    }
    let outcomes = output.jobs.iter().map(outcome).collect::<Result<_>>()?;
    Ok((output.version, outcomes))
}

fn outcome(job: &Job) -> Result<Outcome> {
    let Job { jobname, error, read, write } = job;
    let ios = read.total_ios + write.total_ios;
    let millis = read.runtime.max(write.runtime);
    if *error != 0 || ios == 0 || millis <= 0.0 {
        let message = format!("fio's {jobname} ended with errno {error} after {ios} I/Os in {millis} ms");
        return Err(Error::new(Kind::Guest, message));
    }
    let weighted = |side: &Side| side.lat_ns.mean * side.total_ios as f64;
    let latency = (weighted(read) + weighted(write)) / ios as f64;
    let curve = match (read.total_ios, write.total_ios) {
        (_, 0) => curve(&read.lat_ns),
        (0, _) => curve(&write.lat_ns),
        _ => Vec::new(),
    };
    Ok(Outcome { ios, millis, latency, curve })
}

/// The points in order; empty unless all are there.
fn curve(latency: &Latency) -> Vec<f64> {
    let point = |p: f64| latency.percentile.get(&format!("{p:.6}")).copied();
    PERCENTILES.into_iter().map(point).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Engine, Pattern};

    fn run(limit: Limit) -> Run<'static> {
        let io = Io::new(Pattern::RandRead, 4096, Engine::IoUring).depth(16).jobs(2);
        Run { device: "/dev/x", io, limit, before: Some("blkdiscard -f /dev/x") }
    }

    fn side(ios: u64, mean: f64) -> String {
        let points: Vec<_> = PERCENTILES.iter().map(|p| format!("\"{p:.6}\": {}", p * 10.0)).collect();
        let points = points.join(",");
        format!(
            "{{\"total_ios\":{ios},\"runtime\":500,\"lat_ns\":{{\"mean\":{mean},\"percentile\":{{{points}}}}}}}"
        )
    }

    fn said(error: i32, read: &str, write: &str) -> String {
        format!(
            "note: a note\n{{\"fio version\":\"fio-3.39\",\"jobs\":[{{\"jobname\":\"run0\",\"error\":{error},\
             \"read\":{read},\"write\":{write}}}]}}\nnote: another\n"
        )
    }

    #[test]
    fn runs_follow_each_other() {
        let file = job_file(256, &[run(Limit::Millis(300)), run(Limit::Ios(100)), run(Limit::WholeDisk)]);
        assert_eq!(file.matches("stonewall").count(), 3);
        assert!(file.contains("time_based\nruntime=300ms") && file.contains("io_size=409600"), "{file}");
        assert_eq!(file.matches("norandommap").count(), 2, "a whole disk is touched block by block once");
        assert_eq!(file.matches("exec_prerun=blkdiscard -f /dev/x\n").count(), 3);
    }

    #[test]
    fn reads_and_writes_count_together() {
        let (version, outcomes) = outcomes(&said(0, &side(300, 100.0), &side(100, 500.0)), 1).unwrap();
        assert_eq!(version, "fio-3.39");
        assert_eq!((outcomes[0].ios, outcomes[0].iops(), outcomes[0].latency), (400, 800.0, 200.0));
        assert!(outcomes[0].curve.is_empty());
    }

    #[test]
    fn the_curve_is_that_of_the_side_that_ran() {
        let (_, outcomes) = outcomes(&said(0, &side(0, 0.0), &side(100, 500.0)), 1).unwrap();
        assert_eq!(outcomes[0].curve.len(), PERCENTILES.len());
        assert_eq!(outcomes[0].curve[4], 500.0);
    }

    #[test]
    fn runs_that_failed_or_did_nothing_are_errors() {
        let none = side(0, 0.0);
        assert!(outcomes(&said(5, &side(1, 1.0), &none), 1).unwrap_err().to_string().contains("errno 5"));
        assert!(outcomes(&said(0, &none, &none), 1).is_err());
        assert!(outcomes(&said(0, &side(1, 1.0), &none), 2).is_err());
        assert!(outcomes("fio: cannot open", 1).is_err());
    }
}
