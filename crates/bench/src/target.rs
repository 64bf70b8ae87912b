// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be reached, and whether it was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::report::Comparison;
use crate::stats::{Verdict, median};

/// What a comparison is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// The ratio to the peer.
    Ratio {
        /// The least that will do.
        at_least: f64,
    },
    /// Our own figure.
    Figure {
        /// The most that will do, in the comparison's unit.
        at_most: f64,
    },
}

/// Whether a target was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Reached,
    /// It was not.
    Missed,
    /// The ratio is too wide to go by, and its interval has the target inside; or there is no ratio.
    Open,
}

impl Target {
    /// Whether `comparison` reaches this.
    pub fn outcome(self, comparison: &Comparison) -> Outcome {
        match self {
            Self::Ratio { at_least } => match &comparison.ratio {
                Some(ratio) if ratio.verdict == Verdict::Clear && ratio.median >= at_least => {
                    Outcome::Reached
                }
                Some(ratio) if ratio.verdict == Verdict::Clear => Outcome::Missed,
                Some(ratio) if ratio.low >= at_least => Outcome::Reached,
                Some(ratio) if ratio.high < at_least => Outcome::Missed,
                _ => Outcome::Open,
            },
            Self::Figure { at_most } => match median(&comparison.ours) {
                // Nothing is: the noise is larger than what was to be measured.
                Some(ours) if ours < 0.0 => Outcome::Open,
                Some(ours) if ours <= at_most => Outcome::Reached,
                Some(_) => Outcome::Missed,
                None => Outcome::Open,
            },
        }
    }
}

const MIB: f64 = 1048576.0;

/// What `subject` is to reach over `peer` in a workload.
pub fn target(clock: Clock, subject: &str, peer: &str, workload: &str) -> Option<Target> {
    let ratio = |at_least| Some(Target::Ratio { at_least });
    let has = |part: &str| workload.split('-').any(|word| word == part);
    match (subject, peer, clock) {
        // Memory is no matter of clocks, and a discard copies nothing.
        ("simblk", "brd", _) if workload == "memory" => Some(Target::Figure { at_most: 0.2 * MIB }),
        ("simblk", "brd", _) if workload == "discard-full" => ratio(10.0),
        ("simblk", "brd", Clock::Wall) => match workload {
            "first-fill" => ratio(2.0),
            _ if has("4k") => ratio(1.1),
            _ if has("128k") || has("1m") => ratio(1.3),
            _ => None,
        },
        ("simblk", "brd", Clock::Instructions) if has("path") => ratio(1.0),
        ("simblk", "null_blk", Clock::Wall) if has("4k") && has("j2") => ratio(2.0),
        ("simblk", "memcpy", Clock::Wall) => ratio(0.8),
        ("lab", "virtme-ng", Clock::Wall) => ratio(4.0),
        // So that it is as good as the better one of the two, whichever that is.
        ("blockyard-device", _, Clock::Wall) => ratio(1.0),
        ("virtio_simblk", "virtio_blk", Clock::Wall) => ratio(0.97),
        ("dm_hello", "dm-linear", Clock::Instructions) if has("4k") || has("128k") => ratio(0.99),
        ("dm_stripe2", "dm-stripe", Clock::Instructions) if has("4k") || has("128k") => ratio(1.0),
        ("dm_snap", "dm-snapshot", _) if has("4k") || has("128k") => ratio(1.5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unit;

    fn comparison(ours: [f64; 5]) -> Comparison {
        Comparison::new(["simblk", "brd", "w"], Unit::IosPerSecond, ours.to_vec(), vec![1.0; 5])
    }

    #[test]
    fn a_ratio_is_reached_missed_or_open() {
        let outcome = |ours| Target::Ratio { at_least: 1.1 }.outcome(&comparison(ours));
        assert_eq!(outcome([1.2, 1.21, 1.22, 1.23, 1.24]), Outcome::Reached);
        assert_eq!(outcome([1.0, 1.01, 1.02, 1.03, 1.04]), Outcome::Missed);
        assert_eq!(outcome([1.05, 1.07, 1.08, 1.09, 1.12]), Outcome::Missed);
        assert_eq!(outcome([1.05, 1.12, 1.12, 1.13, 1.14]), Outcome::Reached);
        assert_eq!(outcome([0.5, 1.2, 1.2, 1.2, 1.2]), Outcome::Open);
        // However wide, all of it is above.
        assert_eq!(outcome([1.2, 2.0, 2.0, 2.0, 3.0]), Outcome::Reached);
    }

    #[test]
    fn a_figure_is_reached_by_our_median_alone() {
        let outcome = |at_most| Target::Figure { at_most }.outcome(&comparison([1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!((outcome(3.0), outcome(2.9)), (Outcome::Reached, Outcome::Missed));
    }

    #[test]
    fn targets_go_by_the_whole_words_of_a_workloads_name() {
        let of = |peer, workload| target(Clock::Wall, "simblk", peer, workload);
        assert_eq!(of("brd", "randread-4k-psync"), Some(Target::Ratio { at_least: 1.1 }));
        assert_eq!(of("brd", "read-128k-psync"), Some(Target::Ratio { at_least: 1.3 }));
        assert_eq!(of("null_blk", "randread-4k-io_uring-q16"), None);
        assert_eq!(of("null_blk", "randread-4k-io_uring-q16-j2"), Some(Target::Ratio { at_least: 2.0 }));
        let counted = |workload| target(Clock::Instructions, "simblk", "brd", workload);
        assert_eq!(counted("randread-4k-psync"), None);
        assert_eq!(counted("discard-full"), Some(Target::Ratio { at_least: 10.0 }));
        assert!(matches!(counted("memory"), Some(Target::Figure { .. })));
    }
}
