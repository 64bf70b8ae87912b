// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the yard stands on: each need, whether it is there, its version, and the command that mends it.
//!
//! Everything is probed by what it does (a program is asked for its version, a header is looked for), never by the
//! package manager: a tool that was built by hand is as good. Nothing is fetched, built or changed.

mod host;
mod tools;

use std::fmt;

use crate::error::Result;
use crate::version::Version;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is there; the text is its version or what it is.
    Yes(String),
    /// It is there and too old: its version, and the oldest that will do.
    TooOld(Version, Version),
    /// It is not there, and the lab fetches or builds it when it is first needed: how.
    Later(String),
    /// It is not there.
    No,
}

/// One need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is needed, as in `rustc`.
    pub need: &'static str,
    /// What for, as in `the kernel`.
    pub purpose: &'static str,
    /// Whether the yard works without it, less what it is for.
    pub optional: bool,
    /// What was found.
    pub found: Found,
    /// The command, or advice, that mends it.
    pub mend: String,
}

impl Row {
    /// Whether it is there, or comes by itself.
    pub fn ok(&self) -> bool {
        matches!(self.found, Found::Yes(_) | Found::Later(_))
    }
}

/// All needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One row a need, what everything stands on first.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether all that is not optional was found.
    pub fn all_found(&self) -> bool {
        self.rows.iter().all(|r| r.optional || r.ok())
    }
}

/// Looks at this machine.
pub fn report() -> Result<Report> {
    let recipe = crate::kernel::Recipe::load()?;
    let mut rows = host::rows(&recipe);
    rows.extend(tools::rows(&recipe));
    Ok(Report { rows })
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes(what) => f.write_str(what),
            Self::TooOld(found, needed) => write!(f, "{found}, too old: {needed} or later is needed"),
            Self::Later(how) => write!(f, "not there; {how}"),
            Self::No => f.write_str("not found"),
        }
    }
}

/// A table, with the mends of what is missing below it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|r| r.need.len()).max().unwrap_or(0);
        for row in &self.rows {
            let mark = match (row.ok(), row.optional) {
                (true, _) => "ok",
                (false, true) => "--",
                (false, false) => "NO",
            };
            writeln!(f, "{mark}  {:width$}  {} (for {})", row.need, row.found, row.purpose)?;
            if !row.ok() {
                writeln!(f, "    {:width$}  mend: {}", "", row.mend)?;
            }
        }
        let missing = self.rows.iter().filter(|r| !r.optional && !r.ok()).count();
        match missing {
            0 => write!(f, "everything that is needed is here"),
            n => write!(f, "{n} missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(found: Found, optional: bool) -> Row {
        Row { need: "tool", purpose: "the kernel", optional, found, mend: "apt-get install tool".into() }
    }

    #[test]
    fn what_is_optional_or_comes_by_itself_is_not_missing() {
        let yes = Found::Yes("1.0".into());
        let report = |rows| Report { rows };
        assert!(
            report(vec![
                row(yes.clone(), false),
                row(Found::No, true),
                row(Found::Later("built".into()), false)
            ])
            .all_found()
        );
        assert!(!report(vec![row(yes, false), row(Found::No, false)]).all_found());
        let old = Found::TooOld("1.0".parse().unwrap(), "2.0".parse().unwrap());
        assert!(!report(vec![row(old, false)]).all_found());
    }

    #[test]
    fn the_mend_is_shown_for_what_is_missing_alone() {
        let text = Report { rows: vec![row(Found::Yes("1.0".into()), false)] }.to_string();
        assert!(!text.contains("mend"), "{text}");
        let text = Report { rows: vec![row(Found::No, false)] }.to_string();
        assert!(
            text.contains("NO  tool  not found (for the kernel)")
                && text.contains("mend: apt-get install tool"),
            "{text}"
        );
        assert!(text.ends_with("1 missing"));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let rows = report().unwrap().rows;
        assert!(rows.len() > 20);
        assert!(rows.iter().all(|r| !r.mend.is_empty()));
        let cargo = rows.iter().find(|r| r.need == "cargo").unwrap();
        assert!(matches!(&cargo.found, Found::Yes(v) if v.starts_with("1.")), "cargo runs this test");
    }
}
