// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the reports in a log. One pass, one regular-expression set: linear in the length of the log.
//!
//! A report of the kernel is many lines, several of which would match a rule by themselves: "cut here", then what a
//! checker found, then `WARNING:` or `Oops:`. These are one complaint, named after the line that tells most. What does
//! not belong to an open report begins the next one, so that two reports in a row are never taken for one.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::rules::{CUT_HERE, RULES, Report, Tells};
use super::{Complaint, Line, Origin};

/// A report that does not end by itself (its end was lost, or scrolled by) ends after this many lines.
const LONGEST: usize = 400;

/// What a checker found may stand this many lines before the "cut here" of the trap that it then springs: a
/// slab's report prints the object and two stacks in between.
const BEFORE_CUT: usize = 120;

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(RULES.iter().map(|rule| rule.pattern)).expect("the table's patterns are valid")
});

static TRAP_END: LazyLock<Regex> = LazyLock::new(|| fixed(r"^---\[ end trace"));
static STACK_END: LazyLock<Regex> = LazyLock::new(|| fixed(r"^ *</TASK>"));
static FRAME_END: LazyLock<Regex> = LazyLock::new(|| fixed(r"^={20,}$"));
/// A function of a module, or of Rust code that is part of the image (its symbols are mangled), in a stack or a headline.
static DRIVER: LazyLock<Regex> =
    LazyLock::new(|| fixed(r" \[[\w-]+(?: [0-9a-f]+)?\](?: / |$)|\b_R[\w.$]+(?:\+0x| / |$)"));
static PANIC_END: LazyLock<Regex> = LazyLock::new(|| fixed(r"^---\[ end Kernel panic"));

fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a fixed pattern")
}

/// A report whose end has not been seen.
struct Open {
    rule: usize,
    start: usize,
    headline: usize,
    /// Whether its "cut here" has been seen.
    cut: bool,
}

impl Open {
    fn new(rule: usize, index: usize) -> Self {
        Self { rule, start: index, headline: index, cut: rule == CUT_HERE }
    }

    fn report(&self) -> Report {
        RULES[self.rule].report
    }

    /// Takes a line that matches `rule` into this report, if it is part of it.
    fn join(&mut self, rule: usize, index: usize) -> bool {
        if self.report() != Report::Trap || RULES[rule].report != Report::Trap {
            return false;
        }
        if rule == CUT_HERE {
            return self.join_cut(index);
        }
        let (mine, its) = (RULES[self.rule].tells, RULES[rule].tells);
        if its > mine {
            (self.rule, self.headline) = (rule, index);
        }
        its != mine
    }

    /// "Cut here" follows what a checker found; anywhere else it begins another report.
    fn join_cut(&mut self, index: usize) -> bool {
        let mine = !self.cut && RULES[self.rule].tells == Tells::Why && index - self.start <= BEFORE_CUT;
        self.cut |= mine;
        mine
    }

    /// Whether this line is its last.
    fn ends_with(&self, text: &str, index: usize) -> bool {
        let length = index + 1 - self.start;
        let seen = match self.report() {
            Report::Trap => TRAP_END.is_match(text),
            Report::Stack => STACK_END.is_match(text),
            Report::Framed => length > 1 && FRAME_END.is_match(text),
            Report::Panic => PANIC_END.is_match(text),
            Report::Lines(count) => length >= count,
        };
        seen || length >= LONGEST
    }

    fn close(&self, lines: &[Line], end: usize) -> Found {
        Found { lines: self.start..end, complaint: self.complaint(&lines[self.start..end]) }
    }

    /// The complaint that this report is, if it is one.
    fn complaint(&self, lines: &[Line]) -> Option<Complaint> {
        let kernel = |line: &&Line| line.origin == Origin::Kernel;
        let rule = &RULES[self.rule];
        let excerpt: Vec<_> = lines.iter().filter(kernel).cloned().collect();
        // Of a report whose end was lost nobody knows.
        let whole = excerpt.last().is_some_and(|line| FRAME_END.is_match(&line.text));
        if rule.of_drivers && whole && !excerpt.iter().any(|line| DRIVER.is_match(&line.text)) {
            return None;
        }
        let headline = lines[self.headline - self.start].text.clone();
        Some(Complaint { rule, index: self.start, headline, excerpt })
    }
}

/// A report in a log.
pub(super) struct Found {
    pub(super) lines: Range<usize>,
    /// None for a report that is nothing to complain of.
    pub(super) complaint: Option<Complaint>,
}

/// Finds every complaint of the kernel in a log, in its order.
pub fn scan(lines: &[Line]) -> Vec<Complaint> {
    reports(lines).into_iter().filter_map(|found| found.complaint).collect()
}

/// Finds every report in a log, in its order.
pub(super) fn reports(lines: &[Line]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.origin != Origin::User) {
        if line.origin == Origin::Lab {
            // What comes after a gap is not the end of what came before it.
            found.extend(open.take().map(|cut_off| cut_off.close(lines, index)));
            continue;
        }
        if let Some(rule) = PATTERNS.matches(&line.text).iter().next()
            && !open.as_mut().is_some_and(|open| open.join(rule, index))
        {
            found.extend(open.replace(Open::new(rule, index)).map(|done| done.close(lines, index)));
        }
        if let Some(done) = open.take_if(|open| open.ends_with(&line.text, index)) {
            found.push(done.close(lines, index + 1));
        }
    }
    found.extend(open.map(|cut_off| cut_off.close(lines, lines.len().min(cut_off.start + LONGEST))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klog::parse;
    use proptest::prelude::*;

    fn names(log: &[&str]) -> Vec<&'static str> {
        let lines: Vec<_> =
            log.iter().enumerate().map(|(i, text)| Line::kernel(4, i as u64, *text)).collect();
        scan(&lines).iter().map(|complaint| complaint.rule.name).collect()
    }

    const CUT: &str = "------------[ cut here ]------------";
    const WARNING: &str = "WARNING: a.c:1 at f+0x1/0x2, CPU#0: insmod/48";
    const END: &str = "---[ end trace 0000000000000000 ]---";

    #[test]
    fn one_report_is_one_complaint() {
        assert_eq!(names(&[CUT, "refcount_t: underflow; use-after-free.", WARNING, END]), ["refcount"]);
        assert_eq!(
            names(&["rust_kernel: panicked at a.rs:1:2:", "no", CUT, "kernel BUG at b.c:1!", "Oops: x", END]),
            ["rust-panic"]
        );
    }

    #[test]
    fn reports_in_a_row_are_told_apart() {
        assert_eq!(names(&[CUT, WARNING, END, CUT, WARNING, END]), ["warning"; 2]);
        assert_eq!(names(&[CUT, WARNING, CUT, WARNING]), ["warning"; 2], "the first one's end was lost");
        assert_eq!(names(&["refcount_t: underflow", CUT, WARNING, CUT, WARNING]), ["refcount", "warning"]);
        assert_eq!(names(&[WARNING, WARNING]), ["warning"; 2]);
    }

    #[test]
    fn another_kind_of_report_ends_the_open_one() {
        let log = [
            "WARNING: suspicious RCU usage",
            "x",
            "Oops: Oops: 0002 [#1] SMP",
            END,
            "Kernel panic - not syncing: y",
        ];
        assert_eq!(names(&log), ["rcu-usage", "oops", "panic"]);
    }

    #[test]
    fn a_report_without_an_end_still_counts() {
        assert_eq!(names(&[CUT]), ["cut-here"]);
        assert_eq!(names(&["BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"]), ["kasan"]);
    }

    #[test]
    fn a_data_race_counts_if_a_module_or_rust_has_a_part_in_it() {
        let report =
            |frame| names(&["BUG: KCSAN: data-race in f / g", " f+0x1/0x2", frame, "===================="]);
        assert_eq!(report(" g+0x1/0x2"), [""; 0]);
        assert_eq!(report(" g+0x1/0x2 [simblk]"), ["kcsan"]);
        assert_eq!(report(" _RNvC6simblk1g.llvm.7+0x1/0x2"), ["kcsan"]);
        assert_eq!(names(&["BUG: KCSAN: data-race in f / g", " f+0x1/0x2"]), ["kcsan"], "its end was lost");
    }

    #[test]
    fn the_excerpt_is_the_report() {
        let text = format!(
            "[    1.000000] before\n[    1.000000] {CUT}\nshell noise\n[    1.000001] {WARNING}\n[    1.000002] {END}\n[    1.0] x"
        );
        let complaint = &scan(&parse::console(&text))[0];
        assert_eq!(
            (complaint.index, complaint.excerpt.len()),
            (1, 3),
            "without what a program printed between"
        );
        assert_eq!(complaint.headline, WARNING);
    }

    #[test]
    fn only_the_kernel_complains() {
        let forged = parse::kmsg("12,1,1,-;Kernel panic - not syncing: said a user").unwrap();
        assert!(scan(&forged).is_empty());
    }

    #[test]
    fn an_endless_report_ends() {
        let mut log = vec!["BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"];
        log.extend(std::iter::repeat_n("x", 10 * LONGEST));
        let lines: Vec<_> = log.iter().map(|text| Line::kernel(4, 0, *text)).collect();
        assert_eq!(scan(&lines)[0].excerpt.len(), LONGEST);
    }

    /// Every line of a log is part of at most one complaint, so that the work and the output stay linear.
    fn disjoint(complaints: &[Complaint]) -> bool {
        complaints.windows(2).all(|pair| pair[0].index + pair[0].excerpt.len() <= pair[1].index)
    }

    fn fragment() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            CUT,
            WARNING,
            END,
            "refcount_t: x",
            "BUG: KASAN: x",
            "==========================",
            " </TASK>",
            "Kernel panic - not syncing: x",
            "kernel BUG at x",
            "kmemleak: unreferenced object",
        ]);
        prop_oneof![known.prop_map(str::to_owned), ".{0,60}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_log_is_scanned(texts in prop::collection::vec(fragment(), 0..200)) {
            let lines: Vec<_> = texts.iter().map(|text| Line::kernel(4, 0, text.as_str())).collect();
            let complaints = scan(&lines);
            prop_assert!(disjoint(&complaints));
            let excerpts: usize = complaints.iter().map(|c| c.excerpt.len()).sum();
            prop_assert!(excerpts <= lines.len());
        }

        #[test]
        fn any_text_is_parsed(text in "(?s).{0,300}", prefix in "[0-9,;\\-]{0,12}") {
            let console = parse::console(&text);
            prop_assert!(console.len() <= text.len() + 1);
            parse::kmsg(&format!("{prefix}{text}"));
            scan(&console);
        }
    }
}
