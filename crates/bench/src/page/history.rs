// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the instruction counts were, commit by commit: the repository's own history of `benches/baseline.json`.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use blockyard_lab::process::Command;
use blockyard_lab::{Result, workspace};

use super::{escape, plot};
use crate::baseline::Baseline;
use crate::table;

/// Accepted states that are looked at, at most.
const STATES: &str = "50";
const FILE: &str = "benches/baseline.json";

/// Counts by name, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    states: Vec<Baseline>,
}

impl History {
    /// The accepted states that git knows, and the one of now. Without git there is only that.
    pub fn read(now: Option<Baseline>) -> Result<Self> {
        let root = workspace::root()?;
        let git = |args: &[&str]| {
            let said = Command::new("git").arg("-C").arg(&root).args(args).output().ok()?;
            said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
        };
        let log = git(&["log", "--reverse", "-n", STATES, "--format=%H", "--", FILE]).unwrap_or_default();
        let shown = log.lines().filter_map(|commit| git(&["show", &format!("{commit}:{FILE}")]));
        // A state that an older version of the bench has written is passed over.
        let states = shown.filter_map(|text| serde_json::from_str(&text).ok());
        Ok(Self { states: states.chain(now).collect() })
    }

    fn lines(&self) -> BTreeMap<&str, Vec<f64>> {
        let mut lines: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for state in &self.states {
            for (name, figure) in &state.figures {
                lines.entry(name).or_default().push(*figure);
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
    writeln!(page, "<h2>Instructions, by accepted state</h2>")?;
    writeln!(
        page,
        "<p class=\"soft\">Ours alone, oldest first; the last is this run.</p><div class=\"plots\">"
    )?;
    for (name, line) in lines.iter().filter(|(_, line)| line.len() > 1) {
        let ends = [line[0], line[line.len() - 1]]
            .map(|figure| table::figure(crate::report::Unit::Instructions, figure));
        let caption = escape(&format!("{name}: {} to {}", ends[0], ends[1]));
        writeln!(page, "<figure>{}<figcaption>{caption}</figcaption></figure>", plot::line(line))?;
    }
    writeln!(page, "</div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(figure: f64) -> Baseline {
        Baseline { figures: [("a/b".to_owned(), figure)].into(), ..Baseline::default() }
    }

    #[test]
    fn a_past_is_drawn_once_there_is_one() {
        let mut page = String::new();
        lay_out(&mut page, &History { states: vec![state(1.0)] }).unwrap();
        assert!(page.is_empty());
        lay_out(&mut page, &History { states: vec![state(1000.0), state(1100.0)] }).unwrap();
        assert!(page.contains("a/b: 1.00k to 1.10k") && page.matches("<circle").count() == 2, "{page}");
    }
}
