// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a command printed what the page says, apart from what differs from run to run.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Stands for any text within a line.
const ANY_TEXT: &str = "[..]";
/// A line of it stands for any number of lines.
const ANY_LINES: &str = "...";

/// A time of the kernel log: seconds since the boot, six digits behind the point.
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[ *[0-9]+\.[0-9]{6}\]").expect("a regular expression"));

/// Whether `said` is what the pattern `expected` says. Spaces at the end of a line and empty lines at the end of the
/// text do not count.
pub fn matches(expected: &str, said: &str) -> bool {
    let split = |text: &'_ str| -> Vec<String> {
        text.trim_end().lines().map(|line| without_time(line.trim_end()).into_owned()).collect()
    };
    all(&split(expected), &split(said))
}

fn without_time(line: &str) -> Cow<'_, str> {
    TIME.replace_all(line, "[time]")
}

fn all(expected: &[String], said: &[String]) -> bool {
    match (expected.split_first(), said.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((first, rest)), _) if first == ANY_LINES => {
            (0..=said.len()).any(|skip| all(rest, &said[skip..]))
        }
        (Some(_), None) => false,
        (Some((first, rest)), Some((line, lines))) => one(first, line) && all(rest, lines),
    }
}

/// Whether a line is what its pattern says. The first place where a piece fits is as good as any later one.
fn one(expected: &str, line: &str) -> bool {
    let Some((head, tail)) = expected.split_once(ANY_TEXT) else { return expected == line };
    let Some(mut rest) = line.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = tail.split(ANY_TEXT).collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_matches_and_another_does_not() {
        assert!(matches("a\nb\n", "a\nb\n"));
        assert!(matches("", ""));
        assert!(matches("a  \n\n", "a\n"), "spaces and empty lines at the end");
        for (expected, said) in [("a", "b"), ("a", "a\nb"), ("a\nb", "a"), ("", "a"), ("a", ""), ("a", " a")]
        {
            assert!(!matches(expected, said), "{expected:?} took {said:?}");
        }
    }

    #[test]
    fn any_text_stays_within_its_line() {
        assert!(matches("pid [..] of [..]", "pid 17 of 3"));
        assert!(matches("x[..]", "x"));
        assert!(matches("[..]b[..]b", "abbb"), "the last piece is at the end");
        assert!(!matches("[..]bb[..]b", "abb"), "no byte is used twice");
        assert!(!matches("a[..]", "b"));
        assert!(!matches("[..]", "a\nb"));
    }

    #[test]
    fn dots_stand_for_any_number_of_lines() {
        assert!(matches("...", ""));
        assert!(matches("a\n...\nz", "a\nz"));
        assert!(matches("a\n...\nz", "a\nz\nb\nz"));
        assert!(matches("...\nb\n...", "a\nb\nc"));
        assert!(!matches("a\n...\nz", "a\nb"));
        assert!(!matches("a...", "ab"), "within a line they are dots");
    }

    #[test]
    fn a_time_of_the_kernel_log_is_as_good_as_another() {
        assert!(matches("[    1.742961] hello: in", "[  312.000001] hello: in"));
        assert!(matches("[..]: [    1.742961] x", "f: [12345.678901] x"));
        assert!(!matches("[    1.742961] in", "[    1.742961] out"));
        assert!(!matches("[    1.742961] in", "[1] in"));
    }
}
