// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts what a guest really said into a page: how its output gets there when it is written or has changed.

use crate::page::Page;
use crate::pattern;

/// What the guest said to the command of this number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which of [`Page::entries`].
    pub entry: usize,
    /// What it printed.
    pub output: String,
}

/// The page's text with what was said in the place of what it says. An output that matches stays as it is, with what
/// is masked in it.
pub fn rewrite(page: &Page, said: &[Said]) -> String {
    let mut text = page.source.clone();
    let mut changes: Vec<_> = said
        .iter()
        .filter_map(|said| Some((page.entries.get(said.entry)?, said.output.trim_end())))
        .filter(|(entry, output)| !pattern::matches(&entry.expected, output))
        .collect();
    // From the end, so that a place is not moved by a change before it.
    changes.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.range.start));
    for (entry, output) in changes {
        // Spaces at the end of a line do not count, and would be in the way in an editor.
        let output: String = output.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        text.replace_range(entry.range.clone(), &output);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_rewritten() {
        let source = "# T\n\n```console\n# a\nold\n# b\nthe [..] stays\n# c\n# d\ngone\n```\n\nend\n";
        let page = Page::parse("t.md", source).unwrap();
        let said = ["new  \nlines\n", "the mask stays\n", "more\n", ""];
        let said: Vec<_> = said
            .iter()
            .enumerate()
            .map(|(entry, output)| Said { entry, output: output.to_string() })
            .collect();
        assert_eq!(
            rewrite(&page, &said),
            "# T\n\n```console\n# a\nnew\nlines\n# b\nthe [..] stays\n# c\nmore\n# d\n```\n\nend\n"
        );
    }
}
