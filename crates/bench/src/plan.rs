// SPDX-License-Identifier: MIT OR Apache-2.0
//! From names to what is measured. A name that does not exist is answered with those that do, before anything is
//! built.

use blockyard_lab::{Error, Kind, Result};

use crate::Options;
use crate::clock::Clock;
use crate::subject::{self, Subject};

/// What is measured, by which clocks.
pub struct Plan {
    /// The subjects, each with only those peers that were asked for.
    pub subjects: Vec<Subject>,
    /// The clocks.
    pub clocks: Vec<Clock>,
    quick: bool,
}

impl Plan {
    /// What the options ask for.
    pub fn new(options: &Options) -> Result<Self> {
        let all = subject::all();
        // A module's name may be written with either.
        let wanted: Vec<_> = options.subjects.iter().map(|name| name.replace('-', "_")).collect();
        known("subject", &wanted, all.iter().map(|s| s.name))?;
        let asked = |s: &Subject| wanted.is_empty() || wanted.iter().any(|name| name == s.name);
        let subjects: Vec<_> = all.into_iter().filter(asked).collect();
        known("peer", &options.against, subjects.iter().flat_map(|s| s.peers.iter().map(|p| p.name)))?;
        let mut subjects: Vec<_> = subjects.into_iter().map(|s| with_peers(s, options)).collect();
        subjects.retain(|subject| !subject.peers.is_empty());
        let clocks = match &options.clocks[..] {
            [] => vec![Clock::Wall, Clock::Instructions],
            clocks => clocks.to_vec(),
        };
        Ok(Self { subjects, clocks, quick: options.quick })
    }

    /// How many workloads that are, by one of the clocks.
    pub fn steps(&self, clock: Clock) -> u64 {
        self.subjects.iter().map(|s| s.suite.workloads(clock, self.quick).len() as u64).sum()
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
        assert_eq!(plan.subjects.len(), subject::all().len());
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
    fn unknown_names_are_answered_with_the_known_ones() {
        let error = |subjects, against| plan(subjects, against, false).err().unwrap();
        let wrong = error(&["simblk", "simblkk"], &[]);
        assert!(wrong.kind() == Kind::Usage && wrong.to_string().contains("`simblkk`"), "{wrong}");
        assert!(wrong.help().unwrap().contains("simblk, dm_hello"));
        let wrong = error(&["simblk"], &["dm-linear"]);
        assert!(wrong.help().unwrap().contains("brd, null_blk, loop"), "{wrong}");
    }
}
