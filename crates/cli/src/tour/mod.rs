// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tour: `blockyard run`. A guest boots and every step types a few commands into it, shows what they
//! really print, and checks that it is what it should be.
//!
//! A step is a name and a function. It fails by returning an error; the tour then stops there, because the
//! steps stand on each other, but still asks the kernel log for its verdict and prints the summary. The exit
//! code is 0 only if every step held.

mod examples;
mod fio;
mod report;
mod stage;
mod steps;

use std::path::Path;
use std::time::Instant;

use blockyard_lab::{Error, Guest, Result};

pub use examples::DEVICE;
pub use report::{Outcome, Report, StepReport};
pub use stage::{Stage, say, title};

/// One stop of the tour.
pub struct Step {
    /// Two or three words; the summary's row.
    pub name: &'static str,
    /// One line: what is to be seen.
    pub about: &'static str,
    /// Types the commands and checks what comes back.
    pub run: fn(&mut Stage<'_>) -> Result<()>,
}

/// How many steps there are, the boot and the verdict included.
pub fn length() -> usize {
    steps::all().len() + 2
}

/// Takes the tour in a guest that has booted; `boot` is the report of how it did. Every command of every step,
/// with its output, is in the report.
pub fn take(guest: Guest, boot: StepReport, mut report: Report) -> Report {
    let steps = steps::all();
    let total = length();
    report.steps.push(boot);
    let failed = walk(&guest, &steps, total, &mut report);
    report.steps.extend(steps[report.steps.len() - 1..].iter().map(|step| StepReport::not_run(step.name)));
    report.steps.push(verdict(guest, total, failed));
    report
}

/// Runs the steps up to the first that fails; says whether one did.
fn walk(guest: &Guest, steps: &[Step], total: usize, report: &mut Report) -> bool {
    for (index, step) in steps.iter().enumerate() {
        let mut stage = Stage::open(guest, index + 2, total, step.name, step.about);
        let result = (step.run)(&mut stage);
        let done = stage.close(result);
        let failed = done.outcome == Outcome::Failed;
        report.steps.push(done);
        if failed {
            return true;
        }
    }
    false
}

/// The last step: ends the guest and lets the kernel's own log judge the whole tour.
fn verdict(guest: Guest, total: usize, failed: bool) -> StepReport {
    stage::title(total, total, "Kernel log", "what the kernel noticed while all of that ran");
    let started = Instant::now();
    let result = guest.finish();
    if result.is_ok() && !failed {
        stage::say("no Oops, no BUG, no WARNING, nothing hung: the kernel has no complaint");
    }
    StepReport::of("kernel log", started.elapsed(), result.map(|_| ()), Vec::new())
}

/// Writes the report as JSON, whole or not at all.
pub fn write_json(report: &Report, path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |e: std::io::Error| {
        Error::new(blockyard_lab::Kind::Lab, format!("cannot write {}", path.display())).with_source(e)
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    serde_json::to_writer_pretty(&mut file, report).map_err(|e| failed(e.into()))?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}
