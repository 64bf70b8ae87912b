// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a test provokes on purpose. A test that makes the kernel warn says so beforehand; everything else still counts.

use regex::Regex;

use super::Complaint;
use crate::error::{Context, Kind, Result};

/// A pattern for complaints that are expected.
#[derive(Debug, Clone)]
pub struct Allow(Regex);

impl Allow {
    /// Allows the complaints whose rule has exactly this name, or that have a line which matches this regular
    /// expression: `"hung-task"`, or `"WARNING: .* my_test_warns"`.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the pattern is no regular expression, or matches everything.
    pub fn new(pattern: &str) -> Result<Self> {
        let regex = Regex::new(pattern)
            .context(Kind::Usage, || format!("the log pattern `{pattern}` is no regular expression"))?;
        if regex.is_match("") {
            return Err(crate::error::Error::new(
                Kind::Usage,
                format!("the log pattern `{pattern}` would allow every complaint"),
            )
            .with_help("name the complaint that is expected, such as `hung-task` or a part of its text"));
        }
        Ok(Self(regex))
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        self.0.as_str()
    }

    /// Whether this complaint is expected.
    pub fn covers(&self, complaint: &Complaint) -> bool {
        self.pattern() == complaint.rule.name
            || complaint.excerpt.iter().any(|line| self.0.is_match(&line.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klog::{parse, scan};

    fn complaint() -> Complaint {
        let log = "[    1.000000] rcu: INFO: rcu_preempt self-detected stall on CPU";
        scan(&parse::console(log)).remove(0)
    }

    #[test]
    fn a_rule_or_a_text_is_allowed() {
        assert!(Allow::new("rcu-stall").unwrap().covers(&complaint()));
        assert!(Allow::new("self-detected .* on CPU$").unwrap().covers(&complaint()));
        assert!(!Allow::new("hung-task").unwrap().covers(&complaint()));
    }

    #[test]
    fn what_allows_everything_is_refused() {
        for pattern in ["", ".*", "(", "x|"] {
            assert_eq!(Allow::new(pattern).unwrap_err().kind(), Kind::Usage, "{pattern}");
        }
    }
}
