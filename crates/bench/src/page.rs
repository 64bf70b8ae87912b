// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as a page for a browser: one file, without scripts, that asks the network for nothing.
//!
//! The plots are drawn here, as SVG in the page's text, so that they can be looked at, printed and mailed as they are. What
//! is text stays text, beside the plots or under them, so that it can be read on a screen 400 pixels wide; colours follow
//! the reader's choice of light or dark.

#[cfg(test)]
mod browser;
mod history;
mod plot;

use std::fmt::{self, Write};
use std::path::Path;

use blockyard_lab::error::Context;
use blockyard_lab::{Kind, Result};

use crate::baseline::Baseline;
use crate::report::{Comparison, Report, Session, Unit};
use crate::stats::{MAX_SPREAD, Verdict, median};
use crate::table;
use crate::target::Outcome;
use history::History;
use plot::{Scale, bars, curves, interval};

/// Writes the page.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    // A report without counts has no place in their history.
    let history = History::read(Baseline::of(report).ok())?;
    std::fs::write(path, text(report, &history))
        .context(Kind::Lab, || format!("cannot write {}", path.display()))
}

fn text(report: &Report, history: &History) -> String {
    let mut page = String::new();
    lay_out(&mut page, report, history).expect("writing to a string");
    page
}

fn lay_out(page: &mut String, report: &Report, history: &History) -> fmt::Result {
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    writeln!(page, "<title>Blockyard bench</title>\n<style>\n{}</style>", include_str!("page/style.css"))?;
    head(page, report)?;
    for session in &report.sessions {
        ratios(page, session)?;
    }
    latencies(page, report)?;
    memory(page, report)?;
    history::lay_out(page, history)?;
    page.push_str("</html>\n");
    Ok(())
}

fn head(page: &mut String, report: &Report) -> fmt::Result {
    let host = &report.host;
    let commit = report.source.commit.as_deref().map_or("unknown", |c| &c[..c.len().min(12)]);
    let modified = if report.source.modified { ", with changes" } else { "" };
    writeln!(page, "<h1>Blockyard, measured side by side</h1>")?;
    writeln!(
        page,
        "<p class=\"soft\">{}; commit {}{modified}; on {} processors ({}), {} GiB, load {:.1}, Linux {}</p>",
        date(report.taken),
        escape(commit),
        host.processors,
        escape(&host.processor),
        host.memory_mib >> 10,
        host.load,
        escape(&host.kernel)
    )?;
    writeln!(page, "<p>{}</p>", escape(&summary(report)))?;
    if let Some(why) = &report.cut_short {
        writeln!(page, "<p>Not everything was measured: {}.</p>", escape(why))?;
    }
    writeln!(
        page,
        "<details><summary>How to read this</summary><p>Ours and the peer took turns in one guest; each turn gives a ratio, above 1 \
         where ours is better. The thick mark is the median of the ratios, thin marks are the turns. The bar is an interval that \
         holds the true median nine times in ten; where it is wider than {:.0}% of the median, no number is told. Dashed is what \
         is to be reached. An arrow says that the ratio is beyond the end of the scale.</p></details>\n\
         <p><span class=\"key ours\"></span> ours <span class=\"key theirs\"></span> the peer</p>",
        MAX_SPREAD * 100.0
    )
}

/// How many targets there were, and what became of them.
fn summary(report: &Report) -> String {
    let outcomes: Vec<_> = report.comparisons().filter_map(|(_, c)| Some(c.target?.outcome(c))).collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let [reached, missed, open] = [Outcome::Reached, Outcome::Missed, Outcome::Open].map(count);
    match outcomes.len() {
        0 => "No figure here has something to reach.".into(),
        all => format!(
            "{all} of these figures have something to reach: {reached} reached, {missed} missed, {open} too close or too wide to tell."
        ),
    }
}

fn ratios(page: &mut String, session: &Session) -> fmt::Result {
    let guest = &session.guest;
    let banner = session.clock.banner(&guest.accelerator);
    writeln!(page, "<h2><span class=\"clock\">{}</span></h2>", escape(&banner))?;
    writeln!(
        page,
        "<p class=\"soft\">Linux {}, {}, {} processor(s), {}; {}</p>",
        escape(&guest.kernel),
        escape(&guest.rustc),
        guest.processors,
        guest.memory(),
        escape(&guest.programs())
    )?;
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for comparison in &session.comparisons {
        let pair = (comparison.subject.as_str(), comparison.peer.as_str());
        if !shown.contains(&pair) {
            shown.push(pair);
            let of = |c: &&Comparison| (c.subject.as_str(), c.peer.as_str()) == pair;
            rows(page, pair, &session.comparisons.iter().filter(of).collect::<Vec<_>>())?;
        }
    }
    for missing in &session.missing {
        writeln!(
            page,
            "<p class=\"soft\">Not measured: {}: {}</p>",
            escape(&missing.name),
            escape(&missing.why)
        )?;
    }
    Ok(())
}

fn rows(page: &mut String, (subject, peer): (&str, &str), rows: &[&Comparison]) -> fmt::Result {
    let scale = Scale::of_ratios(rows);
    writeln!(page, "<h3>{} against {}</h3>", escape(subject), escape(peer))?;
    writeln!(
        page,
        "<div class=\"rows\"><div class=\"row head\"><div class=\"name\">workload</div><div class=\"plot scale\">{}</div>\
         <div class=\"ratio\">ratio</div><div class=\"figures\">{} : {}</div></div>",
        scale_of(&scale),
        escape(subject),
        escape(peer)
    )?;
    for row in rows {
        let (class, ratio) = ratio(row);
        let middle = |figures: &[f64]| median(figures).map_or("-".into(), |m| table::figure(row.unit, m));
        writeln!(
            page,
            "<div class=\"row\"><div class=\"name\">{}</div><div class=\"plot\">{}</div>\
             <div class=\"ratio {class}\">{ratio}</div><div class=\"figures\">{} : {}{}</div></div>",
            escape(&row.workload),
            interval(row, &scale),
            middle(&row.ours),
            middle(&row.theirs),
            note(row)
        )?;
    }
    writeln!(page, "</div>")
}

/// What stands beside the figures: what is to be reached, or why there is no ratio.
fn note(row: &Comparison) -> String {
    match (row.target, &row.caveat) {
        (Some(target), _) => format!("; to reach {}", table::wanted(target, row.unit)),
        (None, Some(why)) => format!(" ({})", escape(why)),
        (None, None) => String::new(),
    }
}

/// The labels above the rows' plots. They are text of the page, as the plots are stretched.
fn scale_of(scale: &Scale) -> String {
    let label = |(value, at): &(f64, f64)| format!("<span style=\"left:{:.1}%\">{value}</span>", at * 100.0);
    scale.ticks().iter().map(label).collect()
}

fn ratio(row: &Comparison) -> (&'static str, String) {
    let class = match row.target.map(|target| target.outcome(row)) {
        Some(Outcome::Reached) => "reached",
        Some(Outcome::Missed) => "missed",
        Some(Outcome::Open) | None => "",
    };
    match &row.ratio {
        Some(ratio) if ratio.verdict == Verdict::Clear => (class, table::ratio_text(ratio.median)),
        Some(_) => ("open", "unclear".into()),
        None => {
            (if class.is_empty() { "open" } else { class }, if class.is_empty() { "-" } else { class }.into())
        }
    }
}

fn latencies(page: &mut String, report: &Report) -> fmt::Result {
    let with_curve: Vec<_> = report.comparisons().filter(|(_, c)| c.latency.is_some()).collect();
    if with_curve.is_empty() {
        return Ok(());
    }
    writeln!(page, "<h2>Latency</h2>")?;
    writeln!(page, "<p class=\"soft\">How long single I/Os take: so many percent took no longer.</p>")?;
    writeln!(page, "<div class=\"plots\">")?;
    for (_, comparison) in with_curve {
        let Some(latency) = &comparison.latency else { continue };
        let Comparison { subject, peer, workload, .. } = comparison;
        let caption = escape(&format!("{workload}: {subject}, {peer}"));
        writeln!(page, "<figure>{}<figcaption>{caption}</figcaption></figure>", curves(latency))?;
    }
    writeln!(page, "</div>")
}

fn memory(page: &mut String, report: &Report) -> fmt::Result {
    let found: Vec<_> = report.comparisons().filter(|(_, c)| c.unit == Unit::BytesPerGib).collect();
    if found.is_empty() {
        return Ok(());
    }
    writeln!(page, "<h2>Memory beside the data</h2>")?;
    writeln!(page, "<p class=\"soft\">For each GiB stored.</p><div class=\"plots\">")?;
    let mut workloads: Vec<_> = found.iter().map(|(_, c)| c.workload.as_str()).collect();
    workloads.dedup();
    workloads.sort_unstable();
    workloads.dedup();
    for workload in workloads {
        let of: Vec<_> = found.iter().map(|(_, c)| *c).filter(|c| c.workload == workload).collect();
        let Some(first) = of.first() else { continue };
        let mut figures = vec![(first.subject.as_str(), median(&first.ours).unwrap_or(0.0))];
        // By the first clock that measured it.
        for comparison in of {
            if figures.iter().all(|(name, _)| *name != comparison.peer) {
                figures.push((&comparison.peer, median(&comparison.theirs).unwrap_or(0.0)));
            }
        }
        let caption = if workload == "memory" { "filled in order" } else { "filled page by page, scattered" };
        writeln!(page, "<figure>{}<figcaption>{caption}</figcaption></figure>", bars(&figures))?;
    }
    writeln!(page, "</div>")
}

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A day and time in UTC, by the algorithm for the proleptic Gregorian calendar that counts from March on.
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86400 + 719_468, seconds % 86400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month_of) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month_of <= 2);
    format!("{year}-{month_of:02}-{date:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_193_739), "2026-11-20 16:55 UTC");
    }

    #[test]
    fn the_page_is_whole_and_asks_the_network_for_nothing() {
        let page = text(&sample(), &History::default());
        for outside in ["http://", "https://", "<script", "@import", "url(", "<link", "<img"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("name=\"viewport\""));
        for tag in ["div", "svg", "figure", "p", "h2", "h3", "span", "figcaption", "text"] {
            let (opened, closed) = (
                page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count(),
                page.matches(&format!("</{tag}>")).count(),
            );
            assert_eq!(opened, closed, "{tag}");
        }
    }

    #[test]
    fn what_a_machine_says_of_itself_cannot_break_the_page() {
        let page = text(&sample(), &History::default());
        assert!(page.contains("&lt;CPU&gt; &amp; Co") && !page.contains("<CPU>"));
    }

    #[test]
    fn every_comparison_has_its_row_and_every_curve_its_figure() {
        let report = sample();
        let page = text(&report, &History::default());
        assert_eq!(page.matches("<div class=\"row\">").count(), report.comparisons().count());
        let curves = report.comparisons().filter(|(_, c)| c.latency.is_some()).count();
        assert_eq!(page.matches("<figure>").count(), curves);
        assert!(!page.contains("NaN") && !page.contains("inf"), "a coordinate is no number");
    }
}
