// SPDX-License-Identifier: MIT OR Apache-2.0
//! fio in the guest: the reference's three jobs on our disk and on the kernel's own RAM disk, in turn.
//!
//! One short run says little under emulation (figures spread by up to a fifth), so both disks are measured in
//! the same minute, alternating, and the table shows the ratio. The bench measures with care; the tour shows.

use blockyard_lab::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::stage::{Stage, say};

/// The reference's jobs: 4 KiB, random, libaio, direct, depth 16.
const JOBS: [&str; 3] = ["randread", "randwrite", "randrw"];

/// Wall-clock seconds of one run.
const SECONDS: u32 = 1;

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

/// The I/Os a second in fio's JSON output, reads and writes together.
fn iops(json: &str) -> Result<f64> {
    // fio may print notes before the JSON.
    let start = json.find('{').unwrap_or(0);
    let output: Output = serde_json::from_str(&json[start..])
        .map_err(|e| Error::new(Kind::Guest, "fio printed something that is not its JSON").with_source(e))?;
    let job = output.jobs.first().ok_or_else(|| Error::new(Kind::Guest, "fio reported no job"))?;
    match job.error {
        0 => Ok(job.read.iops + job.write.iops),
        errno => Err(Error::new(Kind::Guest, format!("fio's job failed with errno {errno}"))),
    }
}

/// The fio line for a job on a disk.
pub fn command(job: &str, disk: &str) -> String {
    format!(
        "fio --name={job} --filename={disk} --rw={job} --bs=4k --ioengine=libaio --direct=1 --iodepth=16 \
         --norandommap --randrepeat=1 --time_based --runtime={SECONDS} --output-format=json"
    )
}

/// Runs the three jobs on both disks and prints the table.
pub fn compare(stage: &mut Stage<'_>, simblk: &str, brd: &str) -> Result<()> {
    say(&format!("# {}", command("JOB", "DISK").replace(" --output-format=json", "")));
    say(&format!("{:<10} {:>12} {:>12} {:>8}", "job", "simblk IOPS", "brd IOPS", "ratio"));
    for job in JOBS {
        let ours = iops(&stage.quiet(&command(job, simblk))?)?;
        let theirs = iops(&stage.quiet(&command(job, brd))?)?;
        let row = Comparison { job: job.into(), simblk_iops: ours, brd_iops: theirs };
        say(&format!("{:<10} {:>12.0} {:>12.0} {:>8.2}", row.job, ours, theirs, row.ratio()));
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
        assert_eq!(iops(&json(0, 100.0, 50.0)).unwrap(), 150.0);
    }

    #[test]
    fn a_failed_job_is_an_error_that_names_the_errno() {
        let error = iops(&json(5, 1.0, 1.0)).unwrap_err();
        assert!(error.to_string().contains("errno 5"), "{error}");
    }

    #[test]
    fn output_that_is_no_json_is_an_error() {
        assert!(iops("fio: cannot open").is_err());
    }
}
