// SPDX-License-Identifier: MIT OR Apache-2.0
//! fio in the guest: the reference's three jobs on our disk and on the kernel's own RAM disk, in turn.
//!
//! One short run says little under emulation (figures spread by up to a fifth), so both disks are measured in
//! the same seconds, alternating, by one fio (its start takes longer than a run), and the table shows the ratio. The bench
//! measures with care; the tour shows.

use blockyard_lab::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::stage::{Stage, say};

/// The reference's jobs: 4 KiB, random, libaio, direct, depth 16.
const JOBS: [&str; 3] = ["randread", "randwrite", "randrw"];

/// How long one run takes, as fio writes it.
const RUN: &str = "300ms";

/// One job on both disks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// fio's `rw=`.
    pub job: String,
    /// I/Os a second on our disk, reads and writes together.
    pub simblk_iops: f64,
    /// The same on the kernel's brd.
    pub brd_iops: f64,
}

impl Comparison {
    /// Ours over brd's: above 1 is faster.
    pub fn ratio(&self) -> f64 {
        self.simblk_iops / self.brd_iops
    }
}

#[derive(Deserialize)]
struct Output {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i32,
    read: Side,
    write: Side,
}

#[derive(Deserialize)]
struct Side {
    iops: f64,
}

/// The I/Os a second of each job in fio's JSON output, reads and writes together.
fn iops(json: &str) -> Result<Vec<f64>> {
    // fio may print notes before the JSON.
    let start = json.find('{').unwrap_or(0);
    let output: Output = serde_json::from_str(&json[start..])
        .map_err(|e| Error::new(Kind::Guest, "fio printed something that is not its JSON").with_source(e))?;
    let of_job = |job: &Job| match job.error {
        0 => Ok(job.read.iops + job.write.iops),
        errno => Err(Error::new(Kind::Guest, format!("fio's job failed with errno {errno}"))),
    };
    output.jobs.iter().map(of_job).collect()
}

/// What all jobs have in common: one runs after the other.
fn common() -> String {
    format!(
        "--bs=4k --ioengine=libaio --direct=1 --iodepth=16 --norandommap --randrepeat=1 --time_based \
         --runtime={RUN} --stonewall"
    )
}

/// The fio line for every job on these disks, each job on one disk after the other.
fn command(disks: [&str; 2]) -> String {
    let jobs =
        JOBS.iter().flat_map(|job| disks.map(|disk| format!(" --name={job} --rw={job} --filename={disk}")));
    // What stands before the first name holds for all.
    format!("fio --output-format=json {}{}", common(), jobs.collect::<String>())
}

/// Runs the three jobs on both disks and prints the table.
pub fn compare(stage: &mut Stage<'_>, simblk: &str, brd: &str) -> Result<()> {
    say(&format!("# fio {} --name=JOB --rw=JOB --filename=DISK ...", common()));
    say(&format!("{:<10} {:>12} {:>12} {:>8}", "job", "simblk IOPS", "brd IOPS", "ratio"));
    let measured = iops(&stage.quiet(&command([simblk, brd]))?)?;
    if measured.len() != 2 * JOBS.len() {
        return Err(Error::new(Kind::Guest, format!("fio reported {} jobs", measured.len())));
    }
    for (job, pair) in JOBS.iter().zip(measured.chunks(2)) {
        let row = Comparison { job: (*job).into(), simblk_iops: pair[0], brd_iops: pair[1] };
        say(&format!("{:<10} {:>12.0} {:>12.0} {:>8.2}", row.job, pair[0], pair[1], row.ratio()));
        stage.figure(row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(error: i32, read: f64, write: f64) -> String {
        format!(
            "note: something\n{{\"jobs\":[{{\"error\":{error},\"read\":{{\"iops\":{read}}},\"write\":{{\"iops\":{write}}}}}]}}"
        )
    }

    #[test]
    fn reads_and_writes_count_together() {
        assert_eq!(iops(&json(0, 100.0, 50.0)).unwrap(), [150.0]);
    }

    #[test]
    fn a_failed_job_is_an_error_that_names_the_errno() {
        let error = iops(&json(5, 1.0, 1.0)).unwrap_err();
        assert!(error.to_string().contains("errno 5"), "{error}");
    }

    #[test]
    fn a_job_runs_on_both_disks_before_the_next() {
        let line = command(["/dev/a", "/dev/b"]);
        let order: Vec<_> = line.split("--name=").skip(1).collect();
        assert_eq!(order.len(), 2 * JOBS.len());
        assert!(order[0].contains("/dev/a") && order[1].contains("/dev/b"), "{line}");
        assert!(order[0].starts_with(JOBS[0]) && order[1].starts_with(JOBS[0]), "{line}");
    }

    #[test]
    fn output_that_is_no_json_is_an_error() {
        assert!(iops("fio: cannot open").is_err());
    }
}
