// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run of the bench gives: every figure with all that it depends on, as a value and as JSON.
//!
//! The JSON is these types, field by field; `benches/schema.json` is generated from them and describes it for other
//! programs. A field that the schema does not name is refused when a report is read, so the two cannot drift apart.

use std::path::Path;

use blockyard_lab::error::Context;
use blockyard_lab::{Error, Kind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::stats::Ratio;
use crate::target::Target;

/// The value of [`Report::schema`]. The number changes when a field changes its meaning or goes.
pub const SCHEMA: &str = "blockyard-bench-1";

/// All that one run of the bench has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What this file is: `blockyard-bench-1`.
    pub schema: String,
    /// When the run began, in seconds since 1970.
    pub taken: u64,
    /// Whether it was a short run, of few workloads.
    pub quick: bool,
    /// Why the run ended before it had measured everything; left out if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<String>,
    /// Which state of the sources was measured.
    pub source: Source,
    /// The machine that the guests ran on.
    pub host: Host,
    /// One for each guest that was measured in.
    pub sessions: Vec<Session>,
}

/// A state of the sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The commit; none outside of a git repository.
    pub commit: Option<String>,
    /// Whether files differed from that commit.
    pub modified: bool,
}

/// A machine that guests ran on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The processor's name for itself.
    pub processor: String,
    /// How many processors there were.
    pub processors: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The host's kernel, as `uname -r` tells it.
    pub kernel: String,
    /// Processes that were ready to run, on average over the minute before the run.
    pub load: f64,
}

/// What was measured in one guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// What the figures were taken by.
    pub clock: Clock,
    /// The guest.
    pub guest: GuestFacts,
    /// The comparisons, in the order in which they were made.
    pub comparisons: Vec<Comparison>,
    /// What was to be measured and could not be.
    pub missing: Vec<Missing>,
}

/// What the guest was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestFacts {
    /// How its processor was run: `kvm`, `tcg` or `icount`.
    pub accelerator: String,
    /// Its kernel, as `uname -r` tells it.
    pub kernel: String,
    /// The compiler that the kernel and the drivers were built with.
    pub rustc: String,
    /// QEMU's version.
    pub qemu: String,
    /// fio's version; empty where it had no part.
    pub fio: String,
    /// Processors.
    pub processors: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// MiB of each disk in its memory; 0 where there was none, or it was not noted.
    #[serde(default)]
    pub disk_mib: u64,
}

impl GuestFacts {
    /// Its memory and the disks in it, as people write them: `2560 MiB, disks of 256 MiB`.
    pub fn memory(&self) -> String {
        match self.disk_mib {
            0 => format!("{} MiB", self.memory_mib),
            disk => format!("{} MiB, disks of {disk} MiB", self.memory_mib),
        }
    }

    /// The programs that had a part, as people write them: `QEMU 7.2.22, fio-3.39`.
    pub fn programs(&self) -> String {
        let fio = if self.fio.is_empty() { String::new() } else { format!(", {}", self.fio) };
        format!("QEMU {}{fio}", self.qemu)
    }
}

/// Something that could not be measured, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What: a subject or a peer.
    pub name: String,
    /// Why, as a sentence.
    pub why: String,
}

/// One workload on our thing and on a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Ours.
    pub subject: String,
    /// The other.
    pub peer: String,
    /// What they did, as in `randread-4k-psync`.
    pub workload: String,
    /// What the figures count.
    pub unit: Unit,
    /// Our figures, in the order in which they were taken.
    pub ours: Vec<f64>,
    /// The peer's; the figure of the same place was taken right after ours.
    pub theirs: Vec<f64>,
    /// Their ratios; above 1 ours is better, whatever the unit. None if there is a caveat, or a figure that is not above 0.
    pub ratio: Option<Ratio>,
    /// Why the two may not be compared, where they may not: their figures still say whether ours has changed.
    pub caveat: Option<String>,
    /// What was to be reached, if anything was.
    pub target: Option<Target>,
    /// How long I/Os took on ours and on the peer; only of single I/Os by wall clock.
    pub latency: Option<Latency>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// I/Os a second. More is better.
    IosPerSecond,
    /// Bytes a second. More is better.
    BytesPerSecond,
    /// Nanoseconds for all of it. Less is better.
    Nanoseconds,
    /// Instructions of the guest for one I/O, from its submission to its completion. Less is better.
    InstructionsPerIo,
    /// Instructions of the guest for all of it. Less is better.
    Instructions,
    /// Bytes of memory that are taken beside the data, for each GiB of data. Less is better.
    BytesPerGib,
}

impl Unit {
    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::IosPerSecond | Self::BytesPerSecond)
    }

    /// How often ours is as good as theirs.
    pub fn ratio(self, ours: f64, theirs: f64) -> f64 {
        if self.more_is_better() { ours / theirs } else { theirs / ours }
    }
}

/// How long I/Os took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The points at which the two curves were taken: percent of the I/Os that took no longer.
    pub percentiles: Vec<f64>,
    /// Nanoseconds on ours, for each point: the median of all runs.
    pub ours: Vec<f64>,
    /// The same on the peer.
    pub theirs: Vec<f64>,
}

impl Comparison {
    /// A comparison of series of figures, judged.
    pub fn new(names: [&str; 3], unit: Unit, ours: Vec<f64>, theirs: Vec<f64>) -> Self {
        let [subject, peer, workload] = names.map(str::to_owned);
        let [ours, theirs] =
            [ours, theirs].map(|figures| figures.into_iter().map(rounded).collect::<Vec<_>>());
        let pairs =
            ours.iter().zip(&theirs).map(|(ours, theirs)| rounded(unit.ratio(*ours, *theirs))).collect();
        // Of an even number it is a mean of two.
        let ratio = Ratio::of(pairs).map(|ratio| Ratio { median: rounded(ratio.median), ..ratio });
        Self { subject, peer, workload, unit, ours, theirs, ratio, caveat: None, target: None, latency: None }
    }
}

/// Six digits: more than any clock here can tell, and as few as a JSON file gives back exactly.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 5 - value.abs().log10().floor() as i32;
    if digits >= 0 {
        let scale = 10f64.powi(digits);
        (value * scale).round() / scale
    } else {
        let scale = 10f64.powi(-digits);
        (value / scale).round() * scale
    }
}

impl Comparison {
    /// The same, not to be compared for this reason, so that there is no ratio to be reached.
    pub fn with_caveat(self, why: &str) -> Self {
        let target = self.target.filter(|target| matches!(target, Target::Figure { .. }));
        Self { ratio: None, caveat: Some(why.to_owned()), target, ..self }
    }
}

impl Report {
    /// Writes the report as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).context(Kind::Lab, || "cannot write the report as JSON")?;
        std::fs::write(path, text + "\n").context(Kind::Lab, || format!("cannot write {}", path.display()))
    }

    /// Reads a report back; an error of [`Kind::Usage`] if it is none of ours.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .context(Kind::NotFound, || format!("cannot read {}", path.display()))?;
        let report: Self = serde_json::from_str(&text)
            .context(Kind::Usage, || format!("{} is no report of the bench", path.display()))?;
        if report.schema != SCHEMA {
            let message =
                format!("{} is of the kind {:?}, and not {SCHEMA:?}", path.display(), report.schema);
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(report)
    }

    /// One report of several, each of which measured a part: of the same sources, on the same machine.
    pub fn joined(reports: Vec<Self>) -> Result<Self> {
        let mut reports = reports.into_iter();
        let first = reports.next().ok_or_else(|| Error::new(Kind::Usage, "there is no report to join"))?;
        reports.try_fold(first, Self::join)
    }

    fn join(mut self, other: Self) -> Result<Self> {
        // How busy a machine was is not what it is.
        let machine = |host: &Host| Host { load: 0.0, ..host.clone() };
        if self.source != other.source || machine(&self.host) != machine(&other.host) {
            let message = "the reports are of different sources or machines, and cannot be one";
            return Err(Error::new(Kind::Usage, message));
        }
        self.taken = self.taken.min(other.taken);
        self.quick |= other.quick;
        self.cut_short = self.cut_short.or(other.cut_short);
        self.host.load = self.host.load.max(other.host.load);
        for session in other.sessions {
            match self.sessions.iter_mut().find(|s| s.clock == session.clock && s.guest == session.guest) {
                Some(same) => same.extend(session),
                None => self.sessions.push(session),
            }
        }
        Ok(self)
    }

    /// The comparisons of all sessions, each with its clock.
    pub fn comparisons(&self) -> impl Iterator<Item = (Clock, &Comparison)> {
        self.sessions.iter().flat_map(|s| s.comparisons.iter().map(|c| (s.clock, c)))
    }
}

impl Session {
    /// Adds what another guest, which was just the same, has given.
    fn extend(&mut self, other: Self) {
        self.comparisons.extend(other.comparisons);
        for missing in other.missing {
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
        }
    }
}

/// The JSON schema of a report.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Report);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report of one comparison by each clock.
    pub(crate) fn sample() -> Report {
        let names = ["simblk", "brd", "randread-4k-psync"];
        let wall = (vec![110.0, 111.0, 112.0, 113.0, 114.0], vec![100.0; 5]);
        let mut by_wall = Comparison::new(names, Unit::IosPerSecond, wall.0, wall.1);
        by_wall.target = Some(Target::Ratio { at_least: 1.1 });
        by_wall.latency = Some(Latency {
            percentiles: vec![50.0, 99.0],
            ours: vec![9000.0, 15000.0],
            theirs: vec![10000.0, 18000.0],
        });
        let counted = Comparison::new(names, Unit::InstructionsPerIo, vec![1000.0; 5], vec![1010.0; 5]);
        let session = |clock: Clock, accelerator: &str, comparison| Session {
            clock,
            guest: GuestFacts {
                accelerator: accelerator.into(),
                kernel: "7.3.4".into(),
                rustc: "rustc 1.95.0".into(),
                qemu: "7.2.22".into(),
                fio: "fio-3.39".into(),
                processors: 1,
                memory_mib: 2048,
                disk_mib: 256,
            },
            comparisons: vec![comparison],
            missing: vec![Missing { name: "zram".into(), why: "this kernel has no zram".into() }],
        };
        Report {
            schema: SCHEMA.into(),
            taken: 1_795_193_739,
            quick: true,
            cut_short: None,
            source: Source { commit: Some("0123456789abcdef".into()), modified: false },
            host: Host { processor: "<CPU> & Co".into(), processors: 2, ..Host::default() },
            sessions: vec![
                session(Clock::Wall, "tcg", by_wall),
                session(Clock::Instructions, "icount", counted),
            ],
        }
    }

    #[test]
    fn a_report_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        sample().write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), sample());
    }

    #[test]
    fn reports_of_parts_are_joined_by_guest() {
        let mut other = sample();
        other.host.load = 3.0;
        other.cut_short = Some("interrupted".into());
        other.sessions.remove(0);
        other.sessions[0].comparisons[0].workload = "randwrite-4k-psync".into();
        let joined = Report::joined(vec![sample(), other.clone()]).unwrap();
        let counts: Vec<_> = joined.sessions.iter().map(|session| session.comparisons.len()).collect();
        assert_eq!((counts, joined.host.load), (vec![1, 2], 3.0));
        assert_eq!(joined.cut_short, other.cut_short);
        assert_eq!(joined.sessions[1].missing.len(), 1, "what is missing twice is missing");
        other.source.modified = true;
        assert_eq!(Report::joined(vec![sample(), other]).unwrap_err().kind(), Kind::Usage);
        assert!(Report::joined(vec![]).is_err());
    }

    #[test]
    fn a_median_between_two_pairs_survives_its_file() {
        // Half of the sum of 1.06922 and 1.10192 has more digits than are read back.
        let ours = vec![1.06922, 1.10192, 1.0, 1.0, 1.2, 1.2];
        let mut report = sample();
        report.sessions[0].comparisons =
            vec![Comparison::new(["a", "b", "w"], Unit::IosPerSecond, ours, vec![1.0; 6])];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        assert_eq!(report.sessions[0].comparisons[0].ratio.as_ref().unwrap().median, 1.08557);
    }

    #[test]
    fn files_that_are_no_report_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.json");
        assert_eq!(Report::read(&path).unwrap_err().kind(), Kind::NotFound);
        std::fs::write(&path, "{}").unwrap();
        let error = Report::read(&path).unwrap_err();
        assert!(error.kind() == Kind::Usage && error.to_string().contains("other.json"), "{error}");
        let mut later = sample();
        later.schema = "blockyard-bench-9".into();
        later.write(&path).unwrap();
        assert!(Report::read(&path).unwrap_err().to_string().contains("blockyard-bench-9"));
    }

    #[test]
    fn a_field_that_the_schema_does_not_name_is_refused() {
        let mut value = serde_json::to_value(sample()).unwrap();
        value["sessions"][0]["comparisons"][0]["colour"] = "red".into();
        assert!(serde_json::from_value::<Report>(value).is_err());
    }

    #[test]
    fn figures_have_six_digits_and_survive_their_text() {
        let values = [32512.345678, 0.123456789, 1.0 / 3.0, 123456789.123, -7.77777777, 0.0];
        let texts = values.map(|v| serde_json::to_string(&rounded(v)).unwrap());
        assert_eq!(texts, ["32512.3", "0.123457", "0.333333", "123457000.0", "-7.77778", "0.0"]);
        for (value, text) in values.iter().zip(&texts) {
            assert_eq!(serde_json::from_str::<f64>(text).unwrap(), rounded(*value));
        }
    }

    #[test]
    fn less_is_better_turns_the_ratio_round() {
        assert_eq!(Unit::IosPerSecond.ratio(2.0, 1.0), 2.0);
        assert_eq!(Unit::Nanoseconds.ratio(2.0, 1.0), 0.5);
    }

    /// `BLOCKYARD_BLESS=1 cargo test -p blockyard-bench schema` writes the file anew.
    #[test]
    fn the_schema_in_the_repository_is_that_of_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/schema.json");
        if std::env::var_os("BLOCKYARD_BLESS").is_some() {
            std::fs::write(&path, schema()).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept == schema(), "{} is out of date: BLOCKYARD_BLESS=1 writes it anew", path.display());
    }

    #[test]
    fn every_field_of_the_schema_says_what_it_is() {
        let value: serde_json::Value = serde_json::from_str(&schema()).unwrap();
        fn properties(value: &serde_json::Value, found: &mut Vec<(String, bool)>) {
            let Some(object) = value.as_object() else { return };
            if let Some(fields) = object.get("properties").and_then(|p| p.as_object()) {
                found.extend(fields.iter().map(|(name, of)| (name.clone(), of.get("description").is_some())));
            }
            object.values().for_each(|child| properties(child, found));
        }
        let mut found = Vec::new();
        properties(&value, &mut found);
        assert!(found.len() > 30, "only {} fields", found.len());
        let silent: Vec<_> = found.iter().filter(|(_, described)| !described).collect();
        assert!(silent.is_empty(), "{silent:?}");
    }
}
