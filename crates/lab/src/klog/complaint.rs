// SPDX-License-Identifier: MIT OR Apache-2.0
//! A complaint of the kernel, for people: one sentence, then the lines of the log.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;

use super::{Line, Rule};

/// How many lines of a report are printed: its head says what and where, the rest is in the log.
const SHOWN: usize = 24;

/// Lines that hold only registers or machine code: left out of what is printed, kept in the excerpt.
static REGISTERS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:(?:R(?:[A-D]X|[SD]I|[SB]P|\d\d)|[CDFG]S|[CD]R\d|PKRU|Code):|RIP: 0033:)")
        .expect("a fixed pattern")
});

/// One report of the kernel that something is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Complaint {
    /// The rule that names it.
    pub rule: &'static Rule,
    /// Which line of those scanned it begins with, from 0.
    pub index: usize,
    /// The line that matched the rule.
    pub headline: String,
    /// The lines that belong to it, the first of them at `index`.
    pub excerpt: Vec<Line>,
}

impl Complaint {
    /// The first line of its excerpt.
    pub fn first(&self) -> Option<&Line> {
        self.excerpt.first()
    }

    /// What is wrong, in one sentence without a full stop.
    pub fn sentence(&self) -> String {
        format!("the kernel complained ({}): {}: {}", self.rule.name, self.rule.meaning, self.headline.trim())
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        let shown = || self.excerpt.iter().filter(|line| !REGISTERS.is_match(&line.text));
        for line in shown().take(SHOWN) {
            write!(f, "\n    {line}")?;
        }
        match shown().count().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n    ({more} more lines)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::klog::{parse, scan};

    #[test]
    fn a_report_prints_without_its_registers() {
        let log = include_str!("corpus/null-pointer.log");
        let text = scan(&parse::console(log))[0].to_string();
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            "the kernel complained (page-fault): kernel code touched an address that is not mapped: \
             BUG: kernel NULL pointer dereference, address: 0000000000000008"
        );
        assert!(text.contains("RIP: 0010:splat_init+0x"), "{text}");
        assert!(!text.contains("RAX:") && !text.contains("Code:") && !text.contains("CR2:"), "{text}");
    }
}
