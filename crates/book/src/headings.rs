// SPDX-License-Identifier: MIT OR Apache-2.0
//! The headings of a page, and the anchors that mdBook makes of them.

use pulldown_cmark::{Event, HeadingLevel, Tag, TagEnd};

use crate::page::events;

/// The headings: level (1 to 6) and text, without markup.
pub(crate) fn headings(source: &str) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    let mut open: Option<(HeadingLevel, String)> = None;
    for (event, _) in events(source) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => open = Some((level, String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, heading)) = &mut open {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                found.extend(open.take().map(|(level, heading)| (level as u8, heading)));
            }
            _ => {}
        }
    }
    found
}

/// The anchor of a heading, as mdBook makes it: lower case, dashes for spaces, and nothing but letters, digits, dashes and
/// underscores.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        c if c.is_whitespace() => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.trim().chars().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_come_with_their_level_and_without_markup() {
        let found = headings("# The `kit`\n\ntext\n\n## What *goes* wrong\n");
        assert_eq!(found, [(1, "The kit".to_owned()), (2, "What goes wrong".to_owned())]);
    }

    #[test]
    fn anchors_are_mdbooks() {
        assert_eq!(anchor("What goes wrong"), "what-goes-wrong");
        assert_eq!(anchor("The kernel's `map`, today"), "the-kernels-map-today");
        assert_eq!(anchor("rw_flag 2"), "rw_flag-2");
    }
}
