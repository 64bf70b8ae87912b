// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a series of paired measurements says, and whether it says anything.
//!
//! A figure taken under emulation, or on a machine that others use, is off by as much as a fifth; but two that were
//! taken one right after the other are off together. So what is compared is the ratio of each pair. Of the ratios the median is
//! told, since one disturbed pair does not move it, together with an interval that holds the true median nine
//! times in ten: two of the ratios themselves, chosen by their rank. That assumes nothing about how the ratios are
//! distributed, only that each is as likely to be above the true median as below. (Order statistics as confidence limits
//! for a median: W. R. Thompson, Annals of Mathematical Statistics 7, 1936.)

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How sure the interval must be to hold the true median.
const CONFIDENCE: f64 = 0.9;

/// The fewest pairs that can be judged: with fewer, not even the lowest and the highest ratio hold the true median
/// with that confidence.
pub const MIN_PAIRS: usize = 5;

/// The most pairs that are judged: what the chances are computed with holds no smaller number than that of 1,000 coins.
pub const MAX_PAIRS: usize = 1000;

/// An interval wider than this part of its median says too little to be told as a ratio.
pub const MAX_SPREAD: f64 = 0.10;

/// The middle of some values; the mean of the two middle ones of an even number. `None` of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// How often our thing is as good as the other: above 1 ours is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The ratio of each pair, in the order in which they were measured.
    pub pairs: Vec<f64>,
    /// The median of the pairs' ratios.
    pub median: f64,
    /// The lower end of the interval that holds the true median nine times in ten.
    pub low: f64,
    /// The upper end of that interval.
    pub high: f64,
    /// Whether the interval is narrow enough to go by the median.
    pub verdict: Verdict,
}

/// Whether a ratio can be gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It can.
    Clear,
    /// Its spread is too wide: all that is known is that it lies in the interval.
    TooWide,
}

impl Ratio {
    /// Judges the ratios of some pairs. `None` if there are fewer than [`MIN_PAIRS`] or more than
    /// [`MAX_PAIRS`], or one is no positive number.
    pub fn of(pairs: Vec<f64>) -> Option<Self> {
        if !(MIN_PAIRS..=MAX_PAIRS).contains(&pairs.len())
            || pairs.iter().any(|r| !r.is_finite() || *r <= 0.0)
        {
            return None;
        }
        let sorted = sorted(&pairs);
        let rank = rank(sorted.len());
        let (low, high) = (sorted[rank], sorted[sorted.len() - 1 - rank]);
        let median = median(&sorted)?;
        let verdict = if (high - low) / median <= MAX_SPREAD { Verdict::Clear } else { Verdict::TooWide };
        Some(Self { pairs, median, low, high, verdict })
    }

    /// The width of the interval, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.high - self.low) / self.median
    }
}

/// How many values at either end of `n` sorted ones lie outside of the narrowest interval that is sure enough.
///
/// The true median is below the value of rank k (from 0) if at most k values are below it: as likely as throwing at most k
/// heads with n coins. The interval between the values of rank k and n - 1 - k misses it by twice that.
fn rank(n: usize) -> usize {
    let mut heads = 0.5f64.powi(n as i32);
    let mut at_most = heads;
    let mut rank = 0;
    // `at_most` is the chance of at most `rank` heads; one further in is `rank + 1` outside on each side.
    for k in 0..n / 2 {
        heads *= (n - k) as f64 / (k + 1) as f64;
        at_most += heads;
        if 1.0 - 2.0 * at_most < CONFIDENCE {
            break;
        }
        rank = k + 1;
    }
    rank
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    /// Binomial tables: 5 pairs cover 1 - 2/32 = 93.75%; 8 without their ends 1 - 2 * 9/256 = 92.97%; of 10, one off is
    /// 97.9% and two off would be 89.1%; of 15, three off is 96.5% and four off would be 88.2%.
    #[test]
    fn ranks_agree_with_the_binomial_distribution() {
        let ranks = [5, 6, 7, 8, 10, 11, 15, 20].map(rank);
        assert_eq!(ranks, [0, 0, 0, 1, 1, 2, 3, 5]);
    }

    #[test]
    fn fewer_pairs_than_can_be_judged_are_not() {
        assert_eq!(Ratio::of(vec![1.0; MIN_PAIRS - 1]), None);
        assert!(1.0 - 2.0 * 0.5f64.powi(MIN_PAIRS as i32) >= CONFIDENCE);
        assert!(1.0 - 2.0 * 0.5f64.powi(MIN_PAIRS as i32 - 1) < CONFIDENCE);
    }

    #[test]
    fn what_is_no_ratio_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::of(vec![1.0, 1.0, 1.0, 1.0, bad]), None, "{bad}");
        }
    }

    #[test]
    fn one_disturbed_pair_does_not_move_the_median_and_is_not_hidden() {
        let ratio = Ratio::of(vec![1.2, 1.21, 0.4, 1.19, 1.2]).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.verdict), (1.2, 0.4, Verdict::TooWide));
    }

    #[test]
    fn pairs_that_agree_are_clear() {
        let ratio = Ratio::of(vec![1.10, 1.12, 1.11, 1.13, 1.09]).unwrap();
        assert_eq!((ratio.median, ratio.verdict), (1.11, Verdict::Clear));
        assert_eq!((ratio.low, ratio.high), (1.09, 1.13));
    }

    proptest! {
        #[test]
        fn the_median_lies_in_the_interval_and_the_interval_in_the_data(
            pairs in prop::collection::vec(0.01f64..100.0, MIN_PAIRS..40)
        ) {
            let ratio = Ratio::of(pairs.clone()).unwrap();
            let least = pairs.iter().copied().fold(f64::INFINITY, f64::min);
            let most = pairs.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= ratio.low && ratio.low <= ratio.median);
            prop_assert!(ratio.median <= ratio.high && ratio.high <= most);
            prop_assert_eq!(ratio.verdict == Verdict::Clear, ratio.spread() <= MAX_SPREAD);
        }

        #[test]
        fn turning_the_pairs_round_turns_the_ratio_round(
            pairs in prop::collection::vec(0.1f64..10.0, MIN_PAIRS..20)
        ) {
            // An even number's median is a mean of two, which does not invert.
            let pairs = if pairs.len() % 2 == 0 { pairs[1..].to_vec() } else { pairs };
            prop_assume!(pairs.len() >= MIN_PAIRS);
            let there = Ratio::of(pairs.clone()).unwrap();
            let back = Ratio::of(pairs.iter().map(|r| 1.0 / r).collect()).unwrap();
            prop_assert!((there.median * back.median - 1.0).abs() < 1e-12);
            prop_assert!((there.low * back.high - 1.0).abs() < 1e-12);
        }

        #[test]
        fn more_pairs_never_widen_the_share_that_is_left_out_wrongly(n in MIN_PAIRS..200usize) {
            let outside = rank(n);
            prop_assert!(outside < n.div_ceil(2));
            prop_assert!(rank(n + 1) >= outside);
        }

        /// Of intervals from a known distribution, nine in ten hold its median (within what 400 draws can tell).
        #[test]
        fn the_interval_holds_the_true_median_as_often_as_it_says(seed in any::<u64>(), n in MIN_PAIRS..16usize) {
            let mut state = seed;
            let mut uniform = || {
                // splitmix64
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
            };
            // Skewed, with its median at 1.
            let held = (0..400).filter(|_| {
                let draws = (0..n).map(|_| (2.0 * uniform()).powi(3) + 1e-9).collect();
                let ratio = Ratio::of(draws).unwrap();
                ratio.low <= 1.0 && 1.0 <= ratio.high
            });
            // 90% of 400 is 360, with a standard deviation of 6.
            prop_assert!(held.count() >= 320);
        }
    }
}
