// SPDX-License-Identifier: MIT OR Apache-2.0
//! A `console` block: commands, and what each prints.

use std::ops::Range;

/// What a command's line begins with.
const PROMPT: &str = "# ";
/// What a line begins with that goes on with the command above it.
const CONTINUED: &str = "> ";
/// What a command ends with that is to fail; a reason may follow after a colon.
const FAILS: &str = "# fails";

/// A command, and what the page says that it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it is typed; more than one line where it goes on.
    pub command: String,
    /// Whether it must exit with something other than 0.
    pub fails: bool,
    /// What it prints, as a pattern.
    pub expected: String,
    /// Where the command is in the page: the number of its first line, from 1.
    pub line: usize,
    /// Where `expected` is in the page, in bytes.
    pub range: Range<usize>,
}

/// The commands of the block that is `source[block]`.
pub(crate) fn entries(source: &str, block: Range<usize>) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut end = block.start;
    let first = source[..block.start].lines().count() + 1;
    for (line, text) in (first..).zip(source[block].split_inclusive('\n')) {
        end += text.len();
        let text = text.trim_end_matches('\n');
        match (text.strip_prefix(PROMPT), entries.last_mut()) {
            (Some(command), _) => entries.push(Entry::new(command, line, end)),
            (None, Some(entry)) => entry.take(text, end),
            (None, None) => {
                return Err(format!("line {line}: output before any command (a command begins with `# `)"));
            }
        }
    }
    for entry in &mut entries {
        entry.fails = says_that_it_fails(&entry.command);
        if entry.command.ends_with('\\') {
            return Err(format!("line {}: the command goes on, and no line with `> ` follows", entry.line));
        }
    }
    Ok(entries)
}

impl Entry {
    /// A command that prints nothing yet; its line ends at `end`.
    fn new(command: &str, line: usize, end: usize) -> Self {
        Self { command: command.into(), fails: false, expected: String::new(), line, range: end..end }
    }

    /// Takes the next line of the block: more of the command, or of the output.
    fn take(&mut self, text: &str, end: usize) {
        match text.strip_prefix(CONTINUED) {
            Some(more) if self.expected.is_empty() && self.command.ends_with('\\') => {
                self.command.push('\n');
                self.command.push_str(more);
                self.range = end..end;
            }
            _ => {
                self.expected.push_str(text);
                self.expected.push('\n');
                self.range.end = end;
            }
        }
    }
}

fn says_that_it_fails(command: &str) -> bool {
    command.rfind(FAILS).is_some_and(|at| {
        let rest = &command[at + FAILS.len()..];
        command[..at].ends_with(' ') && (rest.is_empty() || rest.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Entry> {
        entries(text, 0..text.len()).expect("a good block")
    }

    #[test]
    fn a_command_has_the_lines_below_it_up_to_the_next() {
        let text = "# echo a; echo b\na\nb\n# true\n# echo '# no'\n\nc\n";
        let found = of(text);
        let pairs: Vec<_> = found.iter().map(|e| (e.command.as_str(), e.expected.as_str())).collect();
        assert_eq!(pairs, [("echo a; echo b", "a\nb\n"), ("true", ""), ("echo '# no'", "\nc\n")]);
        assert_eq!(found.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 4, 5]);
        for entry in &found {
            assert_eq!(text[entry.range.clone()], entry.expected);
        }
    }

    #[test]
    fn lines_count_from_the_pages_first() {
        let page = "one\n```console\n# true\n";
        let start = page.find("# true").unwrap();
        assert_eq!(entries(page, start..page.len()).unwrap()[0].line, 3);
    }

    #[test]
    fn a_command_goes_on_after_a_backslash() {
        let found = of("# for i in 1 2; do \\\n>   echo $i; \\\n> done\n1\n2\n");
        assert_eq!(found[0].command, "for i in 1 2; do \\\n  echo $i; \\\ndone");
        assert_eq!(found[0].expected, "1\n2\n");
        assert_eq!(of("# echo '> x'\n> x\n")[0].expected, "> x\n", "without a backslash it is output");
    }

    #[test]
    fn only_the_mark_at_the_end_makes_a_command_that_fails() {
        assert!(of("# false  # fails\n")[0].fails);
        assert!(of("# rmmod simblk  # fails: it is in use\n")[0].fails);
        for good in ["# echo it fails\n", "# echo '# failsafe'\n", "# echo x# fails\n"] {
            assert!(!of(good)[0].fails, "{good}");
        }
    }

    #[test]
    fn what_is_no_session_is_an_error_that_names_the_line() {
        assert!(entries("oops\n# true\n", 0..12).unwrap_err().contains("line 1"));
        assert!(entries("# true\n# x \\\n", 0..13).unwrap_err().contains("line 2"));
    }
}
