// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page, looked at with a browser: that its plots are drawn, and that it reads well on a wide screen and on a narrow
//! one.
//!
//! A script that is not part of the page measures it, in frames that are as wide as the screens, and leaves what it saw
//! in the document, which Chromium then prints. Without Chromium the test says that it was skipped, unless
//! `BLOCKYARD_CHROMIUM=required`, as CI has it: it is no small package to ask of everybody. Otherwise that variable may name
//! the program.

use std::path::{Path, PathBuf};

use blockyard_lab::process::Command;
use serde::Deserialize;

use super::history::History;
use super::text;
use crate::clock::Clock;
use crate::report::tests::sample;
use crate::report::{Comparison, Latency, Report, Unit};
use crate::subject;

const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
/// Pixels of the screens.
const WIDTHS: [u32; 2] = [1280, 400];

/// What the script saw on one screen.
#[derive(Debug, Deserialize)]
struct Seen {
    /// Pixels.
    width: u32,
    /// How many pixels the page wants.
    wanted: u32,
    /// Plots.
    plots: usize,
    /// Lines and areas in them.
    marks: usize,
    /// What does not read well, as sentences.
    faults: Vec<String>,
}

const LOOK: &str = include_str!("look.js");

fn chromium() -> Option<PathBuf> {
    let wanted = std::env::var_os("BLOCKYARD_CHROMIUM");
    let required = wanted.as_deref().is_some_and(|value| value == "required");
    let named = wanted.filter(|_| !required).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || {
        let all = std::env::split_paths(&path).flat_map(|dir| PROGRAMS.map(|program| dir.join(program)));
        all.into_iter().find(|program| program.is_file())
    };
    let program = named.or_else(found);
    assert!(
        program.is_some() || !required,
        "there is no Chromium, and BLOCKYARD_CHROMIUM says that there must be"
    );
    program
}

/// Opens the page on each of the screens.
fn look(program: &Path, page: &str) -> Vec<Seen> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("page.html"),
        page.replace("</html>", &format!("<script>{LOOK}</script></html>")),
    )
    .unwrap();
    let frames: String = WIDTHS
        .iter()
        .map(|width| format!("<iframe src=\"page.html\" width=\"{width}\" height=\"900\"></iframe>"))
        .collect();
    // A frame tells what it saw by a message: two files may not look into each other.
    let keep = "onmessage = e => { seen.textContent += JSON.stringify(e.data) + '\\n' }";
    let outer = format!("<!doctype html><pre id=\"seen\"></pre><script>{keep}</script>{frames}");
    let outer_path = dir.path().join("outer.html");
    std::fs::write(&outer_path, outer).unwrap();
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let said = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args([&profile, "--virtual-time-budget=10000", "--window-size=1400,2000", "--dump-dom"])
        .arg(format!("file://{}", outer_path.display()))
        .output()
        .unwrap_or_else(|e| panic!("{e}"));
    let text = String::from_utf8_lossy(&said.stdout);
    let (_, after) =
        text.split_once("<pre id=\"seen\">").unwrap_or_else(|| panic!("Chromium printed {text:?}"));
    let (seen, _) = after.split_once("</pre>").unwrap();
    let plain = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let mut seen: Vec<Seen> = plain
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    // They come as they are ready.
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.width));
    seen
}

/// A report of all workloads there are, against all peers, each with figures that differ.
fn everything() -> Report {
    let mut report = sample();
    for session in &mut report.sessions {
        session.comparisons.clear();
        for subject in subject::all(subject::DISK_MIB) {
            for (at, peer) in subject.peers.iter().enumerate() {
                for (n, workload) in subject.suite.workloads(session.clock, false).iter().enumerate() {
                    let name = workload.to_string();
                    session.comparisons.push(comparison(
                        [subject.name, peer.name, &name],
                        session.clock,
                        at,
                        n,
                    ));
                }
            }
        }
        for (n, peer) in ["brd", "null_blk"].iter().enumerate() {
            let theirs = vec![2.25e6 + 4e6 * n as f64; 5];
            let names = ["simblk", peer, "memory"];
            session.comparisons.push(Comparison::new(names, Unit::BytesPerGib, vec![131_072.0; 5], theirs));
        }
    }
    report
}

fn comparison(names: [&str; 3], clock: Clock, at: usize, n: usize) -> Comparison {
    let ours: Vec<_> = (0..5).map(|pair| 23_456.0 + (37 * pair + 1100 * n + 170 * at) as f64).collect();
    let theirs: Vec<_> = (0..5).map(|pair| 21_000.0 + (53 * pair + 900 * n + 2900 * at) as f64).collect();
    let unit = if clock == Clock::Wall { Unit::IosPerSecond } else { Unit::InstructionsPerIo };
    let mut comparison = Comparison::new(names, unit, ours, theirs);
    comparison.target = crate::target::target(clock, names[0], names[1], names[2]);
    let curve = |scale: f64| crate::fio::PERCENTILES.map(|p| scale * (1.0 + 4.0 / (100.5 - p))).to_vec();
    comparison.latency = (clock == Clock::Wall && n < 4).then(|| Latency {
        percentiles: crate::fio::PERCENTILES.to_vec(),
        ours: curve(31_000.0),
        theirs: curve(36_000.0),
    });
    comparison
}

#[test]
fn the_page_reads_well_on_a_wide_screen_and_on_a_narrow_one() {
    let Some(program) = chromium() else {
        eprintln!("skipped: there is no Chromium here to open the page with (Debian's package chromium)");
        return;
    };
    let report = everything();
    let page = text(&report, &History::sample());
    let seen = look(&program, &page);
    assert_eq!(seen.iter().map(|seen| seen.width).collect::<Vec<_>>(), WIDTHS);
    for seen in seen {
        assert_eq!(seen.plots, page.matches("<svg").count());
        assert!(seen.marks > 2 * seen.plots, "{} marks in {} plots", seen.marks, seen.plots);
        assert!(
            seen.wanted <= seen.width,
            "the page is {} pixels wide on a screen of {}",
            seen.wanted,
            seen.width
        );
        assert!(seen.faults.is_empty(), "on a screen of {} pixels: {:#?}", seen.width, seen.faults);
    }
}

#[test]
fn what_reads_badly_is_seen() {
    let Some(program) = chromium() else {
        eprintln!("skipped: there is no Chromium here");
        return;
    };
    let page = "<!doctype html><body style=\"margin:0\"><div style=\"width:700px\">wide</div>\
         <svg viewBox=\"0 0 100 20\" width=\"100\"><text x=\"2\" y=\"10\" font-size=\"4\">small</text></svg>\
         <svg viewBox=\"0 0 100 20\" width=\"100\"><path d=\"M0 0H5\" stroke=\"red\"/><text x=\"90\" y=\"10\">beyond the edge</text>\
         <text x=\"88\" y=\"12\">and on top of it</text></svg></body></html>";
    let seen = look(&program, page);
    let narrow = seen.iter().find(|seen| seen.width == 400).unwrap();
    assert!(narrow.wanted > 400, "{narrow:?}");
    for fault in ["no mark", "pixels high", "outside", "on top of"] {
        assert!(narrow.faults.iter().any(|found| found.contains(fault)), "{fault}: {:?}", narrow.faults);
    }
}
