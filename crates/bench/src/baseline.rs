// SPDX-License-Identifier: MIT OR Apache-2.0
//! The instruction figures of the last accepted state, and what has become worse since.
//!
//! `benches/baseline.json` holds, for each workload of each subject, how many instructions ours takes. Only counts are
//! kept: they repeat to a third of a percent, on any host. They do depend on the compiler, the kernel and QEMU's
//! processor, so the file tells these too, and a check against a baseline of another compiler says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blockyard_lab::error::Context;
use blockyard_lab::{Error, Kind, Result, workspace};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::report::{Comparison, GuestFacts, Report, Unit};
use crate::stats::median;

/// What may be lost without being named: ten times what repeating a count changes.
pub const TOLERANCE: f64 = 0.03;

/// The accepted state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The kernel's release.
    pub kernel: String,
    /// The compiler.
    pub rustc: String,
    /// QEMU's version.
    pub qemu: String,
    /// Instructions of ours, by `SUBJECT/WORKLOAD`.
    pub figures: BTreeMap<String, f64>,
}

/// A figure that was compared with the accepted one.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// `SUBJECT/WORKLOAD`.
    pub name: String,
    /// The accepted figure.
    pub before: f64,
    /// The one of now.
    pub now: f64,
}

impl Change {
    /// How much more it takes: 0.05 is 5% more.
    pub fn growth(&self) -> f64 {
        self.now / self.before - 1.0
    }
}

/// What came of comparing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// Figures that grew by more than [`TOLERANCE`], the worst first.
    pub worse: Vec<Change>,
    /// Figures that shrank by more than that.
    pub better: Vec<Change>,
    /// How many are as they were.
    pub same: usize,
    /// Measured now, and not in the baseline.
    pub new: Vec<String>,
    /// Of the baseline's, those that were not measured now.
    pub absent: Vec<String>,
    /// What the two depend on that differs between them, as sentences.
    pub differences: Vec<String>,
}

impl Baseline {
    /// The counts of a report. An error if it holds none.
    pub fn of(report: &Report) -> Result<Self> {
        let counted = report.sessions.iter().find(|session| session.clock == Clock::Instructions);
        let counted = counted.ok_or_else(|| {
            Error::new(Kind::Usage, "a baseline is made of instruction counts, and none were taken")
                .with_help("leave --clock out, or give --clock instructions")
        })?;
        let GuestFacts { kernel, rustc, qemu, .. } = counted.guest.clone();
        let figures = counted.comparisons.iter().filter_map(figure).collect();
        Ok(Self { kernel, rustc, qemu, figures })
    }

    /// Where it is kept.
    pub fn path() -> Result<PathBuf> {
        Ok(workspace::root()?.join("benches/baseline.json"))
    }

    /// The one that is kept there; `None` if none ever was.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.context(Kind::Lab, || format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text)
            .map(Some)
            .context(Kind::Usage, || format!("{} is no baseline of the bench", path.display()))
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context(Kind::Lab, || "cannot write the baseline")?;
        std::fs::write(path, text + "\n").context(Kind::Lab, || format!("cannot write {}", path.display()))
    }

    /// This one with the figures of `now` in it: what `now` did not measure stays.
    pub fn accept(self, now: Self) -> Self {
        let mut figures = self.figures;
        figures.extend(now.figures);
        Self { figures, ..now }
    }

    /// Compares this one with the figures of now.
    pub fn check(&self, now: &Self) -> Check {
        let mut check = Check { differences: self.differences(now), ..Check::default() };
        for (name, figure) in &now.figures {
            let Some(before) = self.figures.get(name) else {
                check.new.push(name.clone());
                continue;
            };
            let change = Change { name: name.clone(), before: *before, now: *figure };
            match change.growth() {
                growth if growth > TOLERANCE => check.worse.push(change),
                growth if growth < -TOLERANCE => check.better.push(change),
                _ => check.same += 1,
            }
        }
        check.worse.sort_by(|a, b| b.growth().total_cmp(&a.growth()));
        let absent = self.figures.keys().filter(|name| !now.figures.contains_key(*name));
        check.absent = absent.cloned().collect();
        check
    }

    fn differences(&self, now: &Self) -> Vec<String> {
        let pairs = [
            ("the kernel", &self.kernel, &now.kernel),
            ("the compiler", &self.rustc, &now.rustc),
            ("QEMU", &self.qemu, &now.qemu),
        ];
        let differ = pairs.into_iter().filter(|(_, before, now)| before != now);
        differ.map(|(what, before, now)| format!("{what} was {before}, and is {now}")).collect()
    }
}

fn figure(comparison: &Comparison) -> Option<(String, f64)> {
    let counts = matches!(comparison.unit, Unit::Instructions | Unit::InstructionsPerIo);
    let figure = median(&comparison.ours).filter(|_| counts)?;
    // Digits below what repeating changes would only make the file's history longer.
    let rounded = if figure < 1e6 { (figure * 10.0).round() / 10.0 } else { figure.round() };
    Some((format!("{}/{}", comparison.subject, comparison.workload), rounded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    fn baseline(figures: &[(&str, f64)]) -> Baseline {
        let figures = figures.iter().map(|(name, figure)| (name.to_string(), *figure)).collect();
        Baseline { figures, ..Baseline::default() }
    }

    #[test]
    fn it_is_made_of_counts_alone() {
        let made = Baseline::of(&sample()).unwrap();
        assert_eq!(made.figures, baseline(&[("simblk/randread-4k-psync", 1000.0)]).figures);
        let mut wall = sample();
        wall.sessions.pop();
        assert_eq!(Baseline::of(&wall).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn what_got_worse_is_named_with_the_worst_first() {
        let before = baseline(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0), ("gone", 1.0)]);
        let now = baseline(&[("a", 102.9), ("b", 104.0), ("c", 150.0), ("d", 90.0), ("new", 1.0)]);
        let check = before.check(&now);
        let names = |changes: &[Change]| changes.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&check.worse), names(&check.better)),
            (vec!["c".into(), "b".into()], vec!["d".into()])
        );
        assert_eq!((check.same, check.new, check.absent), (1, vec!["new".into()], vec!["gone".into()]));
    }

    #[test]
    fn another_compiler_is_said() {
        let before = Baseline { rustc: "rustc 1.95.0".into(), ..Baseline::default() };
        let now = Baseline { rustc: "rustc 1.96.0".into(), ..Baseline::default() };
        assert_eq!(before.check(&now).differences, ["the compiler was rustc 1.95.0, and is rustc 1.96.0"]);
    }

    #[test]
    fn accepting_part_of_it_keeps_the_rest() {
        let kept = baseline(&[("a", 1.0), ("b", 2.0)]).accept(baseline(&[("b", 3.0)]));
        assert_eq!(kept, baseline(&[("a", 1.0), ("b", 3.0)]));
    }

    #[test]
    fn it_survives_its_file_and_may_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baseline.json");
        assert_eq!(Baseline::read(&path).unwrap(), None);
        let one = baseline(&[("a", 1.5)]);
        one.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), Some(one));
        std::fs::write(&path, "[]").unwrap();
        assert!(Baseline::read(&path).is_err());
    }
}
