// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rounds: everybody measures once in each, in the same order; and when there have been enough of them.

use crate::report::{Comparison, Latency, Unit};
use crate::stats::{MIN_PAIRS, Verdict, median};

/// Rounds of one go.
pub const ROUNDS: usize = MIN_PAIRS;

/// Figures by contender, ours first; each has as many as the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// For each contender, in the order of the rounds.
    pub figures: Vec<Vec<f64>>,
    /// For each contender, a latency curve for each round; empty ones if there are none.
    pub curves: Vec<Vec<Vec<f64>>>,
}

impl Series {
    /// Of so many contenders, without figures.
    pub fn of(contenders: usize) -> Self {
        Self { figures: vec![Vec::new(); contenders], curves: vec![Vec::new(); contenders] }
    }

    /// Adds a contender's next figure.
    pub fn push(&mut self, contender: usize, figure: f64, curve: Vec<f64>) {
        self.figures[contender].push(figure);
        self.curves[contender].push(curve);
    }

    /// How many rounds there were.
    pub fn rounds(&self) -> usize {
        self.figures.first().map_or(0, Vec::len)
    }

    /// The comparisons of the first contender with each of the others.
    pub fn comparisons(&self, names: &[&str], workload: &str, unit: Unit) -> Vec<Comparison> {
        let compare = |other: usize| {
            let (ours, theirs) = (self.figures[0].clone(), self.figures[other].clone());
            let mut comparison = Comparison::new([names[0], names[other], workload], unit, ours, theirs);
            comparison.latency = self.latency(other);
            comparison
        };
        (1..names.len()).map(compare).collect()
    }

    fn latency(&self, other: usize) -> Option<Latency> {
        let (ours, theirs) = (typical(&self.curves[0])?, typical(&self.curves[other])?);
        Some(Latency { percentiles: crate::fio::PERCENTILES.to_vec(), ours, theirs })
    }

    /// Whether more rounds could help: something spreads too wide to be told, and there were fewer than `most` rounds.
    pub fn wants_more(&self, names: &[&str], unit: Unit, most: usize) -> bool {
        let wide = |c: &Comparison| c.ratio.as_ref().is_none_or(|ratio| ratio.verdict == Verdict::TooWide);
        self.rounds() < most && self.comparisons(names, "", unit).iter().any(wide)
    }
}

/// At each point, the median of the curves. `None` if there is none, or one has no points.
fn typical(curves: &[Vec<f64>]) -> Option<Vec<f64>> {
    let points = curves.first().map(Vec::len).filter(|points| *points > 0)?;
    if curves.iter().any(|curve| curve.len() != points) {
        return None;
    }
    (0..points).map(|at| median(&curves.iter().map(|curve| curve[at]).collect::<Vec<_>>())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 15;

    fn series(ours: &[f64], theirs: &[f64]) -> Series {
        let mut series = Series::of(2);
        for (ours, theirs) in ours.iter().zip(theirs) {
            series.push(0, *ours, vec![*ours; 11]);
            series.push(1, *theirs, vec![*theirs; 11]);
        }
        series
    }

    #[test]
    fn what_spreads_too_wide_wants_more_rounds_up_to_a_limit() {
        let names = ["a", "b"];
        let calm = series(&[1.0; 5], &[1.0; 5]);
        assert!(!calm.wants_more(&names, Unit::IosPerSecond, MOST));
        let wild = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(series(&wild, &[1.0; 5]).wants_more(&names, Unit::IosPerSecond, MOST));
        let long: Vec<_> = wild.iter().cycle().take(MOST).copied().collect();
        assert!(!series(&long, &[1.0; MOST]).wants_more(&names, Unit::IosPerSecond, MOST));
    }

    #[test]
    fn curves_are_told_only_whole() {
        let mut series = series(&[1.0, 3.0, 2.0, 2.0, 2.0], &[1.0; 5]);
        let latency = series.comparisons(&["a", "b"], "w", Unit::IosPerSecond)[0].latency.clone().unwrap();
        assert_eq!((latency.ours[0], latency.theirs[10]), (2.0, 1.0));
        series.curves[1][4] = Vec::new();
        assert_eq!(series.comparisons(&["a", "b"], "w", Unit::IosPerSecond)[0].latency, None);
    }
}
