// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the instruction counts were, commit by commit: the repository's own history of `benches/baseline.json`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use blockyard_lab::process::Command;
use blockyard_lab::{Result, workspace};

use super::{escape, plot};
use crate::baseline::Baseline;
use crate::report::Unit;
use crate::table;

/// Accepted states that are looked at, at most.
const STATES: &str = "50";
const FILE: &str = "benches/baseline.json";

/// What a state is called that has no commit.
const NOW: &str = "this run";

/// An accepted state, or the one of now.
#[derive(Debug)]
struct State {
    /// The commit that accepted it, in short.
    name: String,
    figures: BTreeMap<String, f64>,
}

/// Counts by name, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    states: Vec<State>,
}

/// A figure through the states that have it: their names, and what it was.
type Line<'a> = Vec<(&'a str, f64)>;

impl History {
    /// The accepted states that git knows, and the one of now. Without git there is only that.
    pub fn read(now: Option<Baseline>) -> Result<Self> {
        let root = workspace::root()?;
        let git = |args: &[&str]| {
            let said = Command::new("git").arg("-C").arg(&root).args(args).output().ok()?;
            said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
        };
        let log = git(&["log", "-n", STATES, "--format=%h", "--", FILE]).unwrap_or_default();
        let accepted = log.lines().rev().filter_map(|commit| {
            let text = git(&["show", &format!("{commit}:{FILE}")])?;
            // A state that an older version of the bench has written is passed over.
            let Baseline { figures, .. } = serde_json::from_str(&text).ok()?;
            Some(State { name: commit.to_owned(), figures })
        });
        let now = now.map(|now| State { name: NOW.to_owned(), figures: now.figures });
        Ok(Self { states: accepted.chain(now).collect() })
    }

    /// A past of three commits.
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        let names = ["simblk/randread-4k-psync", "dm_snap/fresh-randwrite-128k-psync"];
        let state = |(n, name): (usize, &str)| State {
            name: name.into(),
            figures: names.iter().map(|of| (of.to_string(), 4000.0 + 731.0 * n as f64)).collect(),
        };
        Self { states: ["e8eccc6", "54946084d1", NOW].into_iter().enumerate().map(state).collect() }
    }

    fn lines(&self) -> BTreeMap<&str, Line<'_>> {
        let mut lines: BTreeMap<&str, Line<'_>> = BTreeMap::new();
        for state in &self.states {
            for (name, figure) in &state.figures {
                lines.entry(name).or_default().push((&state.name, *figure));
            }
        }
        lines
    }
}

/// The section of the page; nothing if there is no past to show.
pub fn lay_out(page: &mut String, history: &History) -> fmt::Result {
    let lines = history.lines();
    if lines.values().all(|line| line.len() < 2) {
        return Ok(());
    }
    writeln!(page, "<h2>Instructions, commit by commit</h2>")?;
    writeln!(
        page,
        "<p class=\"soft\">Ours alone: what each commit accepted that changed the baseline, the oldest on the left. Under each \
         plot: the first of them, and the last.</p><div class=\"plots\">"
    )?;
    for (name, line) in lines.iter().filter(|(_, line)| line.len() > 1) {
        let caption = match &line[..] {
            [first, .., last] => format!("{name}: {}, {}", state(first), state(last)),
            _ => continue,
        };
        writeln!(page, "<figure>{}<figcaption>{}</figcaption></figure>", plot::line(line), escape(&caption))?;
    }
    writeln!(page, "</div>")
}

fn state((name, value): &(&str, f64)) -> String {
    format!("{} ({name})", table::figure(Unit::Instructions, *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, figure: f64) -> State {
        State { name: name.into(), figures: [("a/b".to_owned(), figure)].into() }
    }

    #[test]
    fn a_past_is_drawn_once_there_is_one() {
        let mut page = String::new();
        lay_out(&mut page, &History { states: vec![state(NOW, 1.0)] }).unwrap();
        assert!(page.is_empty());
        lay_out(&mut page, &History { states: vec![state("e8eccc6", 1000.0), state(NOW, 1100.0)] }).unwrap();
        assert!(
            page.contains("a/b: 1.00k (e8eccc6), 1.10k (this run)") && page.matches("<circle").count() == 2,
            "{page}"
        );
    }
}
