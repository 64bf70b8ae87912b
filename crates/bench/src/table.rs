// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for a terminal: a table for each pair of subject and peer, under a line that says which clock it was.

use anstyle::{AnsiColor, Style};

use crate::report::{Comparison, Report, Session, Unit};
use crate::stats::{MAX_SPREAD, Verdict, median};
use crate::target::{Outcome, Target};

const CLOCK: Style = AnsiColor::Yellow.on_default().bold();
const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Prints the report.
pub fn print(report: &Report) {
    for session in &report.sessions {
        anstream::println!();
        lines(report, session).iter().for_each(|line| anstream::println!("{line}"));
    }
    anstream::println!("\n{DIM}{}{DIM:#}", legend());
    if let Some(why) = &report.cut_short {
        anstream::println!("{BAD}not everything was measured: {why}{BAD:#}");
    }
}

/// The lines of one session, with terminal colours in them.
pub fn lines(report: &Report, session: &Session) -> Vec<String> {
    let guest = &session.guest;
    let mut lines = vec![
        format!("{CLOCK}{}{CLOCK:#}", session.clock.banner(&guest.accelerator)),
        format!(
            "{DIM}Linux {}, {}, {} processor(s), {}; {}; on {} x {}, load {:.1}{DIM:#}",
            guest.kernel,
            guest.rustc,
            guest.processors,
            guest.memory(),
            guest.programs(),
            report.host.processors,
            report.host.processor,
            report.host.load
        ),
    ];
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for comparison in &session.comparisons {
        let pair = (comparison.subject.as_str(), comparison.peer.as_str());
        if !shown.contains(&pair) {
            shown.push(pair);
            lines.extend(table(session, pair));
        }
    }
    for missing in &session.missing {
        lines.push(format!("  {DIM}not measured: {}: {}{DIM:#}", missing.name, missing.why));
    }
    lines
}

fn table(session: &Session, pair: (&str, &str)) -> Vec<String> {
    let (subject, peer) = pair;
    let rows = session.comparisons.iter().filter(|c| (c.subject.as_str(), c.peer.as_str()) == pair);
    let head = format!(
        "    {:<30} {:>12} {:>12} {:>7}  {:<13} {}",
        "workload", subject, peer, "ratio", "interval", "to reach"
    );
    let title = format!("  {TITLE}{subject}{TITLE:#} against {TITLE}{peer}{TITLE:#}");
    [String::new(), title, format!("{DIM}{head}{DIM:#}")].into_iter().chain(rows.map(row)).collect()
}

fn row(comparison: &Comparison) -> String {
    let middle = |values: &[f64]| median(values).map_or("-".into(), |m| figure(comparison.unit, m));
    let (ours, theirs) = (middle(&comparison.ours), middle(&comparison.theirs));
    let (ratio, interval) = match &comparison.ratio {
        _ if comparison.caveat.is_some() => ("-".into(), comparison.caveat.clone().unwrap_or_default()),
        None => ("-".into(), String::new()),
        Some(r) => {
            let ratio = match r.verdict {
                Verdict::Clear => ratio_text(r.median),
                Verdict::TooWide => "unclear".into(),
            };
            (ratio, format!("{:.2} .. {:.2}", r.low, r.high))
        }
    };
    let target = comparison.target.map(|t| reached(t, comparison)).unwrap_or_default();
    format!("    {:<30} {ours:>12} {theirs:>12} {ratio:>7}  {interval:<13} {target}", comparison.workload)
}

/// A ratio: near 1, where a percent decides, with a digit more.
pub fn ratio_text(ratio: f64) -> String {
    if (0.9..1.1).contains(&ratio) { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

fn reached(target: Target, comparison: &Comparison) -> String {
    let wanted = wanted(target, comparison.unit);
    match target.outcome(comparison) {
        Outcome::Reached => format!("{GOOD}{wanted} reached{GOOD:#}"),
        Outcome::Missed => format!("{BAD}{wanted} missed{BAD:#}"),
        Outcome::Open => format!("{wanted}: too close or too wide to tell"),
    }
}

/// What is to be reached, in words.
pub fn wanted(target: Target, unit: Unit) -> String {
    match target {
        Target::Ratio { at_least } => format!("{at_least}"),
        Target::Figure { at_most } => format!("at most {}", figure(unit, at_most)),
    }
}

/// A figure with its unit, as people read it.
pub fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::IosPerSecond => scaled(value, 1000.0, ["/s", "k/s", "M/s"]),
        Unit::BytesPerSecond => scaled(value, 1024.0, [" B/s", " KiB/s", " MiB/s"]),
        Unit::Nanoseconds => scaled(value, 1000.0, [" ns", " us", " ms"]),
        Unit::InstructionsPerIo => format!("{value:.0}"),
        Unit::Instructions => scaled(value, 1000.0, ["", "k", "M"]),
        Unit::BytesPerGib => scaled(value, 1024.0, [" B", " KiB", " MiB"]),
    }
}

/// At least three digits that say something, and the unit that suits.
fn scaled(value: f64, step: f64, units: [&str; 3]) -> String {
    let (mut value, mut at) = (value, 0);
    while value.abs() >= step && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let digits = match value.abs() {
        v if v >= 100.0 || at == 0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{}", units[at])
}

/// One line: how wide an interval may be.
pub fn legend() -> String {
    format!(
        "ratio: the median of the pairs' ratios, above 1 where ours is better; interval: holds the true median nine times \
         in ten; unclear: it is wider than {:.0}% of the median",
        MAX_SPREAD * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    fn text(session: usize) -> String {
        let report = sample();
        anstream::adapter::strip_str(&lines(&report, &report.sessions[session]).join("\n")).to_string()
    }

    #[test]
    fn the_clock_is_said_first_and_loudly() {
        assert!(text(0).starts_with("WALL CLOCK, under emulation"), "{}", text(0));
        assert!(text(1).starts_with("INSTRUCTION COUNT"), "{}", text(1));
    }

    #[test]
    fn a_row_has_both_figures_their_ratio_and_what_was_to_be_reached() {
        let text = text(0);
        let row = text.lines().find(|l| l.contains("randread-4k-psync")).unwrap();
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(
            words,
            ["randread-4k-psync", "112/s", "100/s", "1.12", "1.10", "..", "1.14", "1.1", "reached"]
        );
        assert!(text.contains("not measured: zram"), "{text}");
    }

    #[test]
    fn a_spread_too_wide_is_told_instead_of_a_number() {
        let (ours, theirs) = (vec![1.0, 2.0, 3.0, 4.0, 5.0], vec![1.0; 5]);
        let row = row(&Comparison::new(["a", "b", "w"], Unit::IosPerSecond, ours, theirs));
        assert!(row.contains("unclear") && row.contains("1.00 .. 5.00") && !row.contains("3.00"), "{row}");
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(figure(Unit::IosPerSecond, 35_123.0), "35.1k/s");
        assert_eq!(figure(Unit::IosPerSecond, 812.0), "812/s");
        assert_eq!(figure(Unit::BytesPerSecond, 1.5 * 1024.0 * 1048576.0), "1536 MiB/s");
        assert_eq!(figure(Unit::Nanoseconds, 1_234_567.0), "1.23 ms");
        assert_eq!(figure(Unit::InstructionsPerIo, 4342.3), "4342");
        assert_eq!(figure(Unit::BytesPerGib, 2.0 * 1048576.0), "2.00 MiB");
        assert_eq!(figure(Unit::BytesPerGib, -10.0), "-10 B");
        assert_eq!([0.9963, 1.0, 1.234, 46.22].map(ratio_text), ["0.996", "1.000", "1.23", "46.22"]);
    }
}
