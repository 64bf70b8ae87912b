// SPDX-License-Identifier: MIT OR Apache-2.0
//! A log that has grown too long, without its middle: a driver that logs in a loop must not fill the host's memory.
//!
//! The first lines tell what the guest is, the last ones what it died of. Of those between, the ones that a
//! [`Verdict`](super::Verdict) stands on are kept: the same complaints are found in what is left. Only of complaints without
//! number some do: a run with so many that nobody expected has failed, and an [`Allow`] that was answered so often is.

use std::ops::Range;

use super::scan::{Found, reports};
use super::{Allow, Line, Origin};

/// How much of a log is kept at both ends, in bytes as [`size`] counts them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// How many complaints in the middle are kept that nobody expected.
const UNEXPECTED: usize = 32;
/// How many are kept of those that answer to one announcement.
const ANSWERS: usize = 4;

/// What a line takes, about.
pub(crate) fn size(line: &Line) -> usize {
    size_of::<Line>() + line.text.len()
}

/// The log without what is too much, each gap told by a line of [`Origin::Lab`]. The line `mark` stays.
pub(crate) fn thin(lines: Vec<Line>, ends: Ends, allow: &[Allow], mark: Option<usize>) -> Vec<Line> {
    let found = reports(&lines);
    let middle = middle(&lines, ends, &found);
    let mut kept = vec![true; lines.len()];
    kept[middle.clone()].fill(false);
    if let Some(mark) = mark {
        kept[mark] = true;
    }
    let mut counts = Counts { unexpected: 0, answers: vec![0; allow.len()] };
    let mut lost = vec![false; lines.len()];
    for report in &found {
        let Some(complaint) = &report.complaint else { continue };
        let needed = counts.needs(allow.iter().map(|allow| allow.covers(complaint)));
        if middle.contains(&report.lines.start) {
            kept[report.lines.clone()].fill(needed);
            lost[report.lines.start] = !needed;
        }
    }
    let mut thinned = Vec::new();
    let mut gap = Gap::default();
    for (index, line) in lines.into_iter().enumerate() {
        if kept[index] {
            thinned.extend(gap.end());
            thinned.push(line);
        } else {
            gap.add(&line, lost[index]);
        }
    }
    thinned.extend(gap.end());
    thinned
}

/// The lines between both ends, cut so that no report is in two pieces.
fn middle(lines: &[Line], ends: Ends, found: &[Found]) -> Range<usize> {
    let (mut start, mut end) = (within(lines.iter(), ends.first), lines.len());
    end -= within(lines.iter().rev(), ends.last);
    for Found { lines, .. } in found {
        if lines.start < start && start < lines.end {
            start = lines.end;
        }
        if lines.start < end && end < lines.end {
            end = lines.start;
        }
    }
    start..end.max(start)
}

/// How many of the lines fit.
fn within<'a>(lines: impl Iterator<Item = &'a Line>, limit: usize) -> usize {
    let sizes = lines.scan(0, |total, line| {
        *total += size(line);
        Some(*total)
    });
    sizes.take_while(|total| *total <= limit).count()
}

struct Counts {
    unexpected: usize,
    answers: Vec<usize>,
}

impl Counts {
    /// Counts a complaint, and tells whether the verdict needs it. `covers`: which announcements it answers to.
    fn needs(&mut self, covers: impl Iterator<Item = bool>) -> bool {
        let (mut expected, mut needed) = (false, false);
        for (answers, _) in self.answers.iter_mut().zip(covers).filter(|(_, covers)| *covers) {
            expected = true;
            needed |= *answers < ANSWERS;
            *answers += 1;
        }
        if !expected {
            needed = self.unexpected < UNEXPECTED;
            self.unexpected += 1;
        }
        needed
    }
}

/// Lines in a row that are left out.
#[derive(Default)]
struct Gap {
    lines: u64,
    complaints: u64,
    micros: Option<u64>,
}

impl Gap {
    fn add(&mut self, line: &Line, complaint: bool) {
        self.micros = self.micros.or(line.micros);
        let (lines, complaints) = if line.origin == Origin::Lab { told(&line.text) } else { (1, 0) };
        self.lines += lines;
        self.complaints += complaints + u64::from(complaint);
    }

    fn end(&mut self) -> Option<Line> {
        let Self { lines, complaints, micros } = std::mem::take(self);
        let among = match complaints {
            0 => String::new(),
            n => format!(", complaints of the kernel among them: {n}"),
        };
        let text = format!("(lines left out here: {lines}{among})");
        (lines > 0).then_some(Line { level: None, micros, origin: Origin::Lab, text })
    }
}

/// What the line of an earlier gap tells: lines and complaints.
fn told(text: &str) -> (u64, u64) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klog::{Verdict, scan};

    const ENDS: Ends = Ends { first: 1000, last: 2000 };

    fn chatter(lines: usize) -> Vec<Line> {
        (0..lines).map(|n| Line::kernel(6, n as u64, format!("simblk: request {n}"))).collect()
    }

    fn warning(at: &str) -> Vec<Line> {
        let said = ["------------[ cut here ]------------", at, " Call Trace:", "---[ end trace 0 ]---"];
        said.map(|text| Line::kernel(4, 0, text)).into()
    }

    fn warns(line: usize) -> String {
        format!("WARNING: a.c:{line} at f+0x1/0x2 [m], CPU#0: insmod/48")
    }

    fn gaps(lines: &[Line]) -> Vec<&str> {
        lines.iter().filter(|line| line.origin == Origin::Lab).map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_first_and_the_last_lines_stay_and_the_gap_is_told() {
        let all = chatter(10_000);
        let thinned = thin(all.clone(), ENDS, &[], None);
        assert!(thinned.iter().map(size).sum::<usize>() <= ENDS.first + ENDS.last + 200);
        assert_eq!((thinned.first(), thinned.last()), (all.first(), all.last()));
        let left_out = all.len() - (thinned.len() - 1);
        assert_eq!(gaps(&thinned), [format!("(lines left out here: {left_out})")]);
        let again = thin([thinned, chatter(10_000)].concat(), ENDS, &[], None);
        assert_eq!(gaps(&again), [format!("(lines left out here: {})", 20_000 - (again.len() - 1))]);
    }

    #[test]
    fn a_short_log_stays_as_it_is() {
        let all = chatter(10);
        assert_eq!(thin(all.clone(), ENDS, &[], None), all);
    }

    #[test]
    fn a_complaint_in_the_middle_is_found_in_what_is_left() {
        let all = [chatter(1000), warning(&warns(1)), chatter(1000)].concat();
        let (before, thinned) = (scan(&all), thin(all, ENDS, &[], None));
        let after = scan(&thinned);
        assert_eq!((after.len(), gaps(&thinned).len()), (1, 2));
        assert_eq!((&after[0].excerpt, &after[0].headline), (&before[0].excerpt, &before[0].headline));
    }

    #[test]
    fn an_unexpected_complaint_is_not_lost_among_those_that_are_allowed() {
        let allow = [Allow::new("a.c:1 ").unwrap()];
        let flood = || vec![warning(&warns(1)); 1000].concat();
        let all = [flood(), warning(&warns(2)), flood()].concat();
        let thinned = thin(all, ENDS, &allow, None);
        assert!(thinned.len() < 200, "{}", thinned.len());
        let verdict = Verdict::new(&thinned, &allow, None);
        let unexpected: Vec<_> = verdict.complaints.iter().map(|c| c.headline.clone()).collect();
        assert_eq!((unexpected, verdict.unanswered.len()), (vec![warns(2)], 0));
    }

    #[test]
    fn complaints_without_number_are_bounded_and_counted() {
        let thinned = thin(vec![warning(&warns(1)); 5000].concat(), ENDS, &[], None);
        assert!(thinned.len() < 300, "{}", thinned.len());
        let kept = scan(&thinned).len() as u64;
        assert_eq!(gaps(&thinned).iter().map(|gap| told(gap).1).sum::<u64>(), 5000 - kept);
    }

    #[test]
    fn no_report_is_cut_in_two() {
        // One that is nothing to complain of would become a complaint without its end.
        let race = ["BUG: KCSAN: data-race in f / g", " f+0x1/0x2", " g+0x1/0x2", "===================="];
        let race = race.map(|text| Line::kernel(4, 0, text));
        for shift in 0..4 {
            let all = [chatter(shift), vec![race.to_vec(); 200].concat()].concat();
            let thinned = thin(all, ENDS, &[], None);
            assert!(scan(&thinned).is_empty() && !gaps(&thinned).is_empty(), "{shift}");
        }
    }

    #[test]
    fn what_comes_after_a_gap_is_another_report() {
        let gap = Gap { lines: 3, ..Gap::default() }.end().unwrap();
        let lines = [Line::kernel(4, 0, "refcount_t: underflow"), gap, Line::kernel(4, 0, warns(1))];
        assert_eq!(scan(&lines).len(), 2);
    }

    #[test]
    fn the_mark_stays() {
        let all = chatter(1000);
        let mark = all[500].clone();
        assert!(thin(all, ENDS, &[], Some(500)).contains(&mark));
    }
}
