// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the log says about a run: nothing, or an error that names the first complaint.

use serde::Serialize;

use super::rules::TAINT;
use super::{Allow, Complaint, Line, scan, taint};
use crate::error::{Error, Kind, Result};

/// The log of a run, judged.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What nobody expected, in the order of the log.
    pub complaints: Vec<Complaint>,
    /// What a test had announced.
    pub allowed: Vec<Complaint>,
    /// The announcements that nothing answered to: a test that meant to provoke a warning and did not.
    pub unanswered: Vec<String>,
}

impl Verdict {
    /// Judges a log. `tainted` is the number in `/proc/sys/kernel/tainted` at the end of the run, where it could
    /// still be read: a taint of death, warning or lock-up that no line of the log explains is a complaint of its own,
    /// for the log is a ring and forgets.
    pub fn new(lines: &[Line], allow: &[Allow], tainted: Option<u64>) -> Self {
        let (allowed, mut complaints): (Vec<_>, Vec<_>) =
            scan(lines).into_iter().partition(|complaint| allow.iter().any(|a| a.covers(complaint)));
        if complaints.is_empty() && allowed.is_empty() {
            complaints.extend(unexplained(tainted.unwrap_or(0), lines.len()));
        }
        let unanswered = allow.iter().filter(|a| !allowed.iter().any(|c| a.covers(c)));
        let unanswered = unanswered.map(|a| a.pattern().to_owned()).collect();
        Self { complaints, allowed, unanswered }
    }

    /// Whether nothing unexpected was said.
    pub fn is_clean(&self) -> bool {
        self.complaints.is_empty()
    }

    /// The verdict as a result.
    ///
    /// # Errors
    /// [`Kind::KernelLog`] with the first complaint and its lines, and the number of the others.
    pub fn into_result(self) -> Result<()> {
        let Some(first) = self.complaints.first() else { return Ok(()) };
        let message = match self.complaints.len() - 1 {
            0 => first.to_string(),
            1 => format!("{first}\n    (and 1 more complaint)"),
            more => format!("{first}\n    (and {more} more complaints)"),
        };
        let help = format!(
            "if a test provokes this on purpose, allow it by its rule `{}` or by a part of its text",
            first.rule.name
        );
        Err(Error::new(Kind::KernelLog, message).with_help(help))
    }
}

/// A complaint made of the taint flags alone.
fn unexplained(tainted: u64, index: usize) -> Option<Complaint> {
    let flags = taint::alarming(tainted);
    let meanings: Vec<_> = flags.iter().map(|flag| format!("{} ({})", flag.meaning, flag.letter)).collect();
    let headline = format!("tainted = {tainted}: {}", meanings.join(", "));
    (!flags.is_empty()).then_some(Complaint { rule: &TAINT, index, headline, excerpt: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klog::parse;

    const WARNS: &str = "[    1.0] x\n[    1.000001] WARNING: a.c:1 at f+0x1/0x2 [m], CPU#0: insmod/48";

    #[test]
    fn an_unexpected_complaint_is_an_error_that_names_it() {
        let error = Verdict::new(&parse::console(WARNS), &[], None).into_result().unwrap_err();
        assert_eq!(error.kind(), Kind::KernelLog);
        let text = error.to_string();
        assert!(text.contains("(warning)") && text.contains("a.c:1 at f+0x1/0x2 [m]"), "{text}");
        assert!(error.help().unwrap().contains("`warning`"));
    }

    #[test]
    fn what_was_announced_is_not() {
        let allow = [Allow::new("a.c:1").unwrap(), Allow::new("hung-task").unwrap()];
        let verdict = Verdict::new(&parse::console(WARNS), &allow, Some(1 << 9));
        assert!(verdict.is_clean());
        assert_eq!(verdict.allowed.len(), 1);
        assert_eq!(verdict.unanswered, ["hung-task"]);
    }

    #[test]
    fn the_taint_remembers_what_the_log_lost() {
        let verdict = Verdict::new(&[], &[], Some(1 << 9 | 1 << 12));
        assert_eq!(verdict.complaints[0].rule.name, "taint");
        assert!(verdict.complaints[0].headline.ends_with("the kernel issued a warning (W)"));
        assert!(Verdict::new(&[], &[], Some(1 << 12)).is_clean());
    }

    #[test]
    fn others_are_counted() {
        let log = parse::console(&format!("{WARNS}\n{WARNS}\n{WARNS}"));
        let text = Verdict::new(&log, &[], None).into_result().unwrap_err().to_string();
        assert!(text.ends_with("(and 2 more complaints)"), "{text}");
    }
}
