// SPDX-License-Identifier: MIT OR Apache-2.0
//! The instruction figures of the last accepted state, and what has become worse since.
//!
//! `benches/baseline.json` holds, for each workload of each subject, how many instructions ours takes. Only counts are
//! kept: they repeat to a third of a percent, on any host. They do depend on the compiler, the kernel and QEMU's
//! processor, so the file tells these too, and a check against a baseline of another compiler says so.
//!
//! Not every count repeats that well: what a disk's memory costs to give back depends on when grace periods end. So a
//! figure has changed only if each round of a run says so; one whose rounds lie on both sides tells nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blockyard_lab::error::Context;
use blockyard_lab::{Error, Kind, Result, workspace};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::report::{Comparison, GuestFacts, Report, Session, Unit};
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
    /// The one of now: the median of the rounds.
    pub now: f64,
}

impl Change {
    /// How much more it takes: 0.05 is 5% more.
    pub fn growth(&self) -> f64 {
        growth(self.before, self.now)
    }
}

fn growth(before: f64, now: f64) -> f64 {
    now / before - 1.0
}

/// What came of comparing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// Figures that grew by more than [`TOLERANCE`] in every round, the worst first.
    pub worse: Vec<Change>,
    /// Figures that shrank by more than that in every round.
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
        let counted = counted(report)?;
        let GuestFacts { kernel, rustc, qemu, .. } = counted.guest.clone();
        let figures = rows(counted).filter_map(|(name, ours)| Some((name, rounded(median(ours)?)))).collect();
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

    /// Compares this one with what a report counted. An error if that is nothing.
    pub fn check(&self, report: &Report) -> Result<Check> {
        let now = Self::of(report)?;
        let rounds: BTreeMap<_, _> = rows(counted(report)?).collect();
        let mut check = Check { differences: self.differences(&now), ..Check::default() };
        for (name, figure) in &now.figures {
            let Some(before) = self.figures.get(name) else {
                check.new.push(name.clone());
                continue;
            };
            let change = Change { name: name.clone(), before: *before, now: *figure };
            let every = |is: fn(f64) -> bool| rounds[name].iter().all(|now| is(growth(*before, *now)));
            if every(|growth| growth > TOLERANCE) {
                check.worse.push(change);
            } else if every(|growth| growth < -TOLERANCE) {
                check.better.push(change);
            } else {
                check.same += 1;
            }
        }
        check.worse.sort_by(|a, b| b.growth().total_cmp(&a.growth()));
        let absent = self.figures.keys().filter(|name| !now.figures.contains_key(*name));
        check.absent = absent.cloned().collect();
        Ok(check)
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

fn counted(report: &Report) -> Result<&Session> {
    report.sessions.iter().find(|session| session.clock == Clock::Instructions).ok_or_else(|| {
        Error::new(Kind::Usage, "a baseline is made of instruction counts, and none were taken")
            .with_help("leave --clock out, or give --clock instructions")
    })
}

/// The counts of ours in each round, by `SUBJECT/WORKLOAD`.
fn rows(session: &Session) -> impl Iterator<Item = (String, &[f64])> {
    let counts = |c: &&Comparison| matches!(c.unit, Unit::Instructions | Unit::InstructionsPerIo);
    let row = |c: &'_ Comparison| format!("{}/{}", c.subject, c.workload);
    session.comparisons.iter().filter(counts).map(move |c| (row(c), &c.ours[..]))
}

/// Digits below what repeating changes would only make the file's history longer.
fn rounded(figure: f64) -> f64 {
    if figure < 1e6 { (figure * 10.0).round() / 10.0 } else { figure.round() }
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

    /// What a run counted, round by round.
    fn report(rows: &[(&str, &[f64])]) -> Report {
        let mut report = sample();
        let session = report.sessions.iter_mut().find(|s| s.clock == Clock::Instructions).unwrap();
        let one = session.comparisons[0].clone();
        let row = |(name, ours): &(&str, &[f64])| Comparison {
            workload: name.to_string(),
            ours: ours.to_vec(),
            ..one.clone()
        };
        session.comparisons = rows.iter().map(row).collect();
        report
    }

    fn names(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.name.as_str()).collect()
    }

    #[test]
    fn what_got_worse_is_named_with_the_worst_first() {
        let before = ["a", "b", "c", "d", "gone"].map(|name| format!("simblk/{name}"));
        let before = baseline(&before.each_ref().map(|name| (name.as_str(), 100.0)));
        let now =
            report(&[("a", &[102.9]), ("b", &[104.0]), ("c", &[150.0]), ("d", &[90.0]), ("new", &[1.0])]);
        let check = before.check(&now).unwrap();
        assert_eq!(names(&check.worse), ["simblk/c", "simblk/b"]);
        assert_eq!(names(&check.better), ["simblk/d"]);
        assert_eq!(
            (check.same, check.new, check.absent),
            (1, vec!["simblk/new".into()], vec!["simblk/gone".into()])
        );
    }

    #[test]
    fn a_figure_has_changed_only_if_each_round_says_so() {
        let before = baseline(&[("simblk/wanders", 100.0), ("simblk/more", 100.0), ("simblk/less", 100.0)]);
        let now = report(&[
            ("wanders", &[92.0, 108.0, 109.0, 110.0, 115.0]),
            ("more", &[104.0, 108.0, 115.0]),
            ("less", &[80.0, 96.0, 81.0]),
        ]);
        let check = before.check(&now).unwrap();
        assert_eq!((names(&check.worse), names(&check.better)), (vec!["simblk/more"], vec!["simblk/less"]));
        assert_eq!(check.same, 1);
        assert_eq!(check.worse[0].now, 108.0);
    }

    #[test]
    fn another_compiler_is_said() {
        let guest = sample().sessions[1].guest.clone();
        let GuestFacts { kernel, qemu, .. } = guest;
        let before = Baseline { rustc: "rustc 1.94.0".into(), kernel, qemu, ..Baseline::default() };
        let check = before.check(&sample()).unwrap();
        assert_eq!(check.differences, ["the compiler was rustc 1.94.0, and is rustc 1.95.0"]);
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
