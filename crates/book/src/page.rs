// SPDX-License-Identifier: MIT OR Apache-2.0
//! A page: its title, what it is about, and the commands on it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::console::{self, Entry};

/// The language of blocks whose commands are typed into a guest.
const CONSOLE: &str = "console";

/// A page of the book.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it is below the book's source folder.
    pub path: PathBuf,
    /// Its text, in Markdown.
    pub source: String,
    /// Its heading.
    pub title: String,
    /// The first sentence below the heading.
    pub about: String,
    /// Its commands, in order; none on a page that only tells.
    pub entries: Vec<Entry>,
    /// The virtio devices that its guest has, as the lab describes them.
    pub devices: Vec<String>,
}

/// The parts of a page as Markdown has them, each with its place in the text.
pub(crate) fn events(source: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    Parser::new_ext(source, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES).into_offset_iter()
}

impl Page {
    /// Reads a page's text; the error names the place.
    pub fn parse(path: impl Into<PathBuf>, source: impl Into<String>) -> Result<Self, String> {
        let (path, source) = (path.into(), source.into());
        let placed = |problem: String| format!("{}: {problem}", path.display());
        let title = text_of(&source, |tag| matches!(tag, Tag::Heading { level: HeadingLevel::H1, .. }));
        let title = title.ok_or_else(|| placed("there is no heading of the first level".into()))?;
        let paragraph = text_of(&source, |tag| matches!(tag, Tag::Paragraph)).unwrap_or_default();
        let about = first_sentence(&paragraph);
        let mut entries = Vec::new();
        for block in blocks(&source).map_err(placed)? {
            entries.extend(console::entries(&source, block).map_err(placed)?);
        }
        let devices = source.lines().filter_map(device).map(str::to_owned).collect();
        Ok(Self { path, source, title, about, entries, devices })
    }

    /// What `blockyard try` calls it: the file's name without its ending.
    pub fn name(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// Whether it is the page of an example.
    pub fn is_example(&self) -> bool {
        self.path.parent() == Some(Path::new(crate::shelf::EXAMPLES))
    }
}

/// The device that a line asks for: a comment of its own, `<!-- device: hello -->`.
fn device(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- device: ")?.strip_suffix(" -->")
}

/// Where the contents of the console blocks are.
fn blocks(source: &str) -> Result<Vec<Range<usize>>, String> {
    let mut blocks = Vec::new();
    let mut current: Option<(Range<usize>, String)> = None;
    for (event, range) in events(source) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if &*language == CONSOLE => {
                current = Some((0..0, String::new()));
            }
            Event::Text(text) => {
                if let Some((place, whole)) = &mut current {
                    let start = if whole.is_empty() { range.start } else { place.start };
                    *place = start..range.end;
                    whole.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some((place, whole)) = current.take() {
                    let line = source[..range.start].lines().count() + 1;
                    if source[place.clone()] != whole {
                        return Err(format!("line {line}: a console block must not be indented"));
                    }
                    blocks.push(place);
                }
            }
            _ => {}
        }
    }
    Ok(blocks)
}

/// The text of the first element that `wanted` picks, without its markup.
fn text_of(source: &str, wanted: impl Fn(&Tag<'_>) -> bool) -> Option<String> {
    let mut text: Option<String> = None;
    let mut end = None;
    for (event, _) in events(source) {
        match (event, &mut text) {
            (Event::Start(tag), None) if wanted(&tag) => {
                end = Some(tag.to_end());
                text = Some(String::new());
            }
            (Event::Text(piece) | Event::Code(piece), Some(text)) => text.push_str(&piece),
            (Event::SoftBreak | Event::HardBreak, Some(text)) => text.push(' '),
            (Event::End(tag), Some(_)) if Some(tag) == end => break,
            _ => {}
        }
    }
    text
}

fn first_sentence(text: &str) -> String {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!-- a comment -->\n# `simblk`: a disk\n\nA disk in *memory*, on\n`kit`. More of it.\n\n\
                        ```sh\n./yard try simblk\n```\n\n```console\n# echo one\none\n```\n\ntext\n\n\
                        ```console\n# false  # fails\n```\n";

    #[test]
    fn a_page_has_a_title_a_sentence_and_commands() {
        let page = Page::parse("examples/simblk.md", PAGE).unwrap();
        assert_eq!((page.name(), page.title.as_str()), ("simblk", "simblk: a disk"));
        assert_eq!(page.about, "A disk in memory, on kit");
        assert!(page.is_example());
        let commands: Vec<_> = page.entries.iter().map(|e| (e.command.as_str(), e.fails)).collect();
        assert_eq!(commands, [("echo one", false), ("false  # fails", true)]);
        assert_eq!(page.source[page.entries[0].range.clone()], *"one\n");
    }

    #[test]
    fn a_page_says_which_devices_its_guest_has() {
        let page = Page::parse("a.md", "<!-- SPDX -->\n<!-- device: hello,no-events -->\n# T\n").unwrap();
        assert_eq!(page.devices, ["hello,no-events"]);
        assert!(Page::parse("a.md", PAGE).unwrap().devices.is_empty());
    }

    #[test]
    fn a_page_elsewhere_is_no_example() {
        assert!(!Page::parse("introduction.md", "# Hello\n").unwrap().is_example());
        assert!(!Page::parse("examples/more/x.md", "# Hello\n").unwrap().is_example());
    }

    #[test]
    fn problems_name_the_page_and_the_place() {
        let error = Page::parse("a.md", "no heading\n").unwrap_err();
        assert!(error.contains("a.md") && error.contains("heading"), "{error}");
        let error = Page::parse("a.md", "# T\n\n```console\noutput\n```\n").unwrap_err();
        assert!(error.contains("line 4"), "{error}");
        let error = Page::parse("a.md", "# T\n\n- x\n\n  ```console\n  # a\n  # b\n  ```\n").unwrap_err();
        assert!(error.contains("indented"), "{error}");
    }
}
