// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tour found, for a person (the summary) and for a machine (`--json`).

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use blockyard_lab::{Error, Result};
use serde::{Serialize, Serializer};

use super::fio::Comparison;

const PASSED: Style = AnsiColor::Green.on_default();
const FAILED: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// The whole tour. The JSON file is this struct; a field's meaning is its doc.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this format; raised when a field changes its meaning.
    pub format: u32,
    /// The guest kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// `kvm` or `tcg`.
    pub accel: String,
    /// Every step in order.
    pub steps: Vec<StepReport>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// An earlier step failed first.
    NotRun,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct StepReport {
    /// The step's name in the summary.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "message")]
    pub error: Option<Error>,
    /// What was typed, and what came back.
    pub commands: Vec<Typed>,
    /// Measured side by side, where the step measures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Comparison>,
}

/// A command that was run in the guest.
#[derive(Debug, Serialize)]
pub struct Typed {
    /// As typed into the guest's shell.
    pub command: String,
    /// Its exit code; 128 plus the signal's number when a signal ended it.
    pub exit: i32,
    /// Standard output, then standard error, whole.
    pub output: String,
}

impl Report {
    /// An empty report of a tour in this guest.
    pub fn new(kernel: impl Into<String>, accel: impl Into<String>) -> Self {
        Self { format: 1, kernel: kernel.into(), accel: accel.into(), steps: Vec::new() }
    }

    /// Whether every step held.
    pub fn passed(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.outcome == Outcome::Passed)
    }

    /// Why the first step failed that did.
    pub fn into_error(self) -> Option<Error> {
        self.steps.into_iter().find_map(|step| step.error)
    }

    /// Prints each step with its outcome and time, then the sum of it.
    pub fn print(&self) {
        anstream::println!("\nSummary");
        for step in &self.steps {
            let (style, word) = match step.outcome {
                Outcome::Passed => (PASSED, "passed"),
                Outcome::Failed => (FAILED, "FAILED"),
                Outcome::NotRun => (DIM, "not run"),
            };
            anstream::println!("  {style}{word:<8}{style:#} {:<18} {:>6.2} s", step.name, step.seconds);
        }
        let held = self.steps.iter().filter(|s| s.outcome == Outcome::Passed).count();
        let seconds: f64 = self.steps.iter().map(|s| s.seconds).sum();
        let style = if self.passed() { PASSED } else { FAILED };
        anstream::println!("{style}{held} of {} steps held{style:#}, in {seconds:.1} s", self.steps.len());
    }
}

impl StepReport {
    /// A step that ran.
    pub fn of(name: &str, took: Duration, result: Result<()>, commands: Vec<Typed>) -> Self {
        let error = result.err();
        if let Some(e) = &error {
            anstream::println!("      {FAILED}failed{FAILED:#}: {e}");
        }
        let outcome = if error.is_some() { Outcome::Failed } else { Outcome::Passed };
        let seconds = took.as_secs_f64();
        Self { name: name.into(), outcome, seconds, error, commands, figures: Vec::new() }
    }

    /// A step that an earlier failure kept from running.
    pub fn not_run(name: &str) -> Self {
        let (outcome, seconds) = (Outcome::NotRun, 0.0);
        Self { name: name.into(), outcome, seconds, error: None, commands: Vec::new(), figures: Vec::new() }
    }
}

/// A machine's file has the message alone; its causes are in what is printed.
fn message<S: Serializer>(error: &Option<Error>, to: S) -> std::result::Result<S::Ok, S::Error> {
    error.as_ref().map(Error::to_string).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_lab::Kind;

    fn ran(result: Result<()>) -> StepReport {
        StepReport::of("x", Duration::from_secs(1), result, Vec::new())
    }

    #[test]
    fn a_tour_of_no_steps_has_not_passed() {
        assert!(!Report::new("7.3", "tcg").passed());
    }

    #[test]
    fn one_failed_or_skipped_step_fails_the_tour() {
        let mut report = Report::new("7.3", "tcg");
        report.steps.push(ran(Ok(())));
        assert!(report.passed());
        report.steps.push(StepReport::not_run("y"));
        assert!(!report.passed());
        report.steps[1] = ran(Err(Error::new(Kind::Guest, "no")));
        assert!(!report.passed());
    }

    #[test]
    fn the_first_failure_is_the_tours() {
        let mut report = Report::new("7.3", "tcg");
        report.steps.push(ran(Ok(())));
        report.steps.push(ran(Err(Error::new(Kind::Interrupted, "interrupted"))));
        report.steps.push(ran(Err(Error::new(Kind::MachineDied, "gone"))));
        assert_eq!(report.into_error().unwrap().kind(), Kind::Interrupted);
    }
}
