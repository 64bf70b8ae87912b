// SPDX-License-Identifier: MIT OR Apache-2.0
//! From names to what is measured. A name that does not exist is answered with those that do, before anything is
//! built.

use blockyard_lab::{Error, Kind, Result};

use crate::Options;
use crate::clock::Clock;
use crate::startup;
use crate::subject::{self, Plug, Subject};
use crate::workload::Workload;

/// What is measured, by which clocks.
pub struct Plan {
    /// The subjects, each with only those peers that were asked for.
    pub subjects: Vec<Subject>,
    /// The clocks.
    pub clocks: Vec<Clock>,
    /// Whether the lab itself is measured.
    pub lab: bool,
    only: Vec<String>,
    quick: bool,
}

impl Plan {
    /// What the options ask for.
    pub fn new(options: &Options) -> Result<Self> {
        let all = subject::all(options.disk_mib());
        // A module's name may be written with either.
        let wanted: Vec<_> = options.subjects.iter().map(|name| name.replace('-', "_")).collect();
        known("subject", &wanted, all.iter().map(|s| s.name).chain([startup::SUBJECT]))?;
        let lab = |names: &[String], name| names.is_empty() || names.iter().any(|n| n == name);
        let lab = lab(&wanted, startup::SUBJECT) && lab(&options.against, startup::PEER) && !options.quick;
        let asked = |s: &Subject| wanted.is_empty() || wanted.iter().any(|name| name == s.name);
        let subjects: Vec<_> = all.into_iter().filter(asked).collect();
        known(
            "peer",
            &options.against,
            subjects.iter().flat_map(|s| s.peers.iter().map(|p| p.name)).chain(lab.then_some(startup::PEER)),
        )?;
        let mut subjects: Vec<_> = subjects.into_iter().map(|s| with_peers(s, options)).collect();
        subjects.retain(|subject| !subject.peers.is_empty());
        let clocks = match &options.clocks[..] {
            [] => vec![Clock::Wall, Clock::Instructions],
            clocks => clocks.to_vec(),
        };
        let plan = Self { subjects, clocks, lab, only: options.only.clone(), quick: options.quick };
        plan.something()?;
        Ok(plan)
    }

    /// What is done to a subject by one of the clocks.
    pub fn workloads(&self, subject: &Subject, clock: Clock) -> Vec<Workload> {
        let mut workloads = subject.suite.workloads(clock, self.quick);
        workloads.retain(|workload| self.wants(&workload.to_string()));
        workloads
    }

    /// The subjects by the guests that they are measured in: those that plug something in have one each.
    pub fn guests(&self, clock: Clock) -> Vec<(Option<Plug>, Vec<&Subject>)> {
        let measured = self.subjects.iter().filter(|subject| !self.workloads(subject, clock).is_empty());
        let (plugged, plain): (Vec<_>, Vec<_>) = measured.partition(|subject| subject.plug.is_some());
        let plain = (!plain.is_empty()).then_some((None, plain));
        plain.into_iter().chain(plugged.into_iter().map(|subject| (subject.plug, vec![subject]))).collect()
    }

    fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| workload.contains(part))
    }

    /// An error if nothing is left to do.
    fn something(&self) -> Result<()> {
        if self.lab || self.clocks.iter().any(|clock| self.steps(*clock) > 0) {
            return Ok(());
        }
        let suites = self.subjects.iter().flat_map(|subject| {
            self.clocks.iter().flat_map(|clock| subject.suite.workloads(*clock, self.quick))
        });
        let mut names: Vec<_> = suites.map(|workload| workload.to_string()).collect();
        names.sort();
        names.dedup();
        let message = format!("no workload has {} in its name", self.only.join(" or "));
        Err(Error::new(Kind::Usage, message).with_help(format!("there are: {}", names.join(", "))))
    }

    /// How many workloads that are, by one of the clocks.
    pub fn steps(&self, clock: Clock) -> u64 {
        self.subjects.iter().map(|s| self.workloads(s, clock).len() as u64).sum()
    }
}

fn with_peers(mut subject: Subject, options: &Options) -> Subject {
    match &options.against[..] {
        [] if options.quick => subject.peers.truncate(1),
        [] => {}
        asked => subject.peers.retain(|peer| asked.iter().any(|name| name == peer.name)),
    }
    subject
}

/// An error that lists the known names, if one of `asked` is not among them.
fn known<'a>(what: &str, asked: &[String], known: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut known: Vec<_> = known.collect();
    known.dedup();
    match asked.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::new(Kind::Usage, format!("there is no {what} `{name}` in the bench"))
            .with_help(format!("there are: {}", known.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(subjects: &[&str], against: &[&str], quick: bool) -> Result<Plan> {
        let owned = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        let options =
            Options { subjects: owned(subjects), against: owned(against), quick, ..Options::default() };
        Plan::new(&options)
    }

    fn peers(plan: &Plan) -> Vec<(&str, Vec<&str>)> {
        plan.subjects.iter().map(|s| (s.name, s.peers.iter().map(|p| p.name).collect())).collect()
    }

    #[test]
    fn without_names_everything_is_measured_by_both_clocks() {
        let plan = plan(&[], &[], false).unwrap();
        assert_eq!(plan.subjects.len(), subject::all(subject::DISK_MIB).len());
        assert_eq!(plan.clocks, [Clock::Wall, Clock::Instructions]);
    }

    #[test]
    fn a_short_run_compares_with_the_first_peer_unless_told_otherwise() {
        assert_eq!(peers(&plan(&["simblk"], &[], true).unwrap()), [("simblk", vec!["brd"])]);
        assert_eq!(peers(&plan(&["simblk"], &["loop"], true).unwrap()), [("simblk", vec!["loop"])]);
    }

    #[test]
    fn subjects_may_be_named_with_dashes_as_modules_are() {
        let plan = plan(&["dm-hello", "dm_snap"], &[], false).unwrap();
        assert_eq!(plan.subjects.iter().map(|s| s.name).collect::<Vec<_>>(), ["dm_hello", "dm_snap"]);
    }

    #[test]
    fn subjects_without_any_of_the_peers_are_left_out() {
        assert_eq!(peers(&plan(&[], &["dm-linear"], false).unwrap()), [("dm_hello", vec!["dm-linear"])]);
    }

    #[test]
    fn workloads_are_chosen_by_parts_of_their_names() {
        let only = |parts: &[&str]| {
            let only = parts.iter().map(|part| part.to_string()).collect();
            Plan::new(&Options { subjects: vec!["simblk".into()], only, ..Options::default() })
        };
        let plan = only(&["128k", "lifecycle"]).unwrap();
        let names: Vec<_> =
            plan.workloads(&plan.subjects[0], Clock::Wall).iter().map(|w| w.to_string()).collect();
        assert!(
            names.contains(&"lifecycle".into()) && names.contains(&"read-128k-psync".into()),
            "{names:?}"
        );
        assert!(names.iter().all(|name| name.contains("128k") || name == "lifecycle"), "{names:?}");
        let wrong = only(&["129k"]).err().unwrap();
        assert!(wrong.kind() == Kind::Usage && wrong.help().unwrap().contains("path-read"), "{wrong}");
    }

    #[test]
    fn unknown_names_are_answered_with_the_known_ones() {
        let error = |subjects, against| plan(subjects, against, false).err().unwrap();
        let wrong = error(&["simblk", "simblkk"], &[]);
        assert!(wrong.kind() == Kind::Usage && wrong.to_string().contains("`simblkk`"), "{wrong}");
        assert!(wrong.help().unwrap().contains("simblk, simblk_path, dm_hello"));
        let wrong = error(&["simblk"], &["dm-linear"]);
        assert!(wrong.help().unwrap().contains("brd, null_blk, loop, zram"), "{wrong}");
    }
}
