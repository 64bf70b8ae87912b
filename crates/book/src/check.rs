// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with the book before any guest boots: a page that nobody can find, a link or an include that leads
//! nowhere, an example without a page, a page that leaves out what every page tells.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use pulldown_cmark::{Event, Tag};
use regex::Regex;

use crate::headings::{anchor, headings};
use crate::page::{Page, events};
use crate::shelf::{Book, SUMMARY};

/// The sections of an example's page, in order.
const SECTIONS: [&str; 5] = ["What it shows", "The code", "Try it", "What changed", "What goes wrong"];

/// mdBook's way to put a file's text into a page.
static INCLUDE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{\s*#\w+\s+([^}]*?)\s*\}\}").expect("a regular expression"));

/// Everything that is wrong with the book's pages; `drivers` is the folder with a folder for each example.
pub fn problems(book: &Book, drivers: &Path) -> Vec<String> {
    let mut found = contents(book);
    for page in &book.pages {
        let here = |problem: String| format!("{}: {problem}", page.path.display());
        found.extend(links(book, &page.path, &page.source).into_iter().map(here));
        let missing = includes(book, page).into_iter().filter(|include| !include.is_there());
        found
            .extend(missing.map(|include| here(format!("it includes {}, which is not there", include.said))));
        if page.is_example() {
            found.extend(sections(page).map(here));
            found.extend(sources_left_out(book, page, drivers).into_iter().map(here));
        }
    }
    found
}

/// The table of contents names every page, and nothing that is none.
fn contents(book: &Book) -> Vec<String> {
    let summary = std::fs::read_to_string(book.src.join(SUMMARY)).unwrap_or_default();
    let named: Vec<PathBuf> = targets(&summary).into_iter().map(PathBuf::from).collect();
    let missing = book.pages.iter().map(|page| &page.path).filter(|path| !named.contains(path));
    let mut found: Vec<_> =
        missing.map(|path| format!("{SUMMARY} does not name {}", path.display())).collect();
    found.extend(links(book, Path::new(SUMMARY), &summary).into_iter().map(|p| format!("{SUMMARY}: {p}")));
    found
}

/// Where the links and pictures of a text lead.
fn targets(source: &str) -> Vec<String> {
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    };
    events(source).filter_map(|(event, _)| target(event)).collect()
}

/// Links within the book that lead nowhere.
fn links(book: &Book, from: &Path, source: &str) -> Vec<String> {
    let inner = targets(source).into_iter().filter(|t| !t.contains("://") && !t.starts_with("mailto:"));
    inner
        .filter(|target| !leads_somewhere(book, from, target))
        .map(|t| format!("the link {t} leads nowhere"))
        .collect()
}

fn leads_somewhere(book: &Book, from: &Path, target: &str) -> bool {
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let folder = from.parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() { Some(from.to_owned()) } else { normal(&folder.join(file)) };
    // Outside of the folder is outside of the built book.
    let Some(path) = path else { return false };
    match book.pages.iter().find(|page| page.path == path) {
        Some(page) => {
            fragment.is_empty() || headings(&page.source).iter().any(|(_, text)| anchor(text) == fragment)
        }
        None => fragment.is_empty() && book.src.join(&path).is_file() && path != Path::new(SUMMARY),
    }
}

/// The path without `.` and `..`; none if it leads out of the book.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => normal.push(name),
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if normal.pop() => {}
            _ => return None,
        }
    }
    Some(normal)
}

/// A file, or a part of one, that a page includes.
struct Include {
    /// As the page says it.
    said: String,
    file: PathBuf,
    /// The name of the part.
    part: Option<String>,
}

impl Include {
    fn is_there(&self) -> bool {
        let begins =
            |text: &str, part: &str| text.lines().any(|l| l.trim_end().ends_with(&format!("ANCHOR: {part}")));
        let text = std::fs::read_to_string(&self.file);
        text.is_ok_and(|text| self.part.as_ref().is_none_or(|part| begins(&text, part)))
    }
}

fn includes(book: &Book, page: &Page) -> Vec<Include> {
    let page_file = book.src.join(&page.path);
    let folder = page_file.parent().unwrap_or(&book.src);
    let include = |said: &str| {
        let (file, part) =
            said.split_once(':').map_or((said, None), |(file, part)| (file, Some(part.to_owned())));
        Include { said: said.to_owned(), file: folder.join(file), part }
    };
    INCLUDE.captures_iter(&page.source).map(|found| include(&found[1])).collect()
}

/// The sections of an example's page that are missing or in another order.
fn sections(page: &Page) -> Option<String> {
    let has: Vec<_> =
        headings(&page.source).into_iter().filter(|(level, _)| *level == 2).map(|(_, text)| text).collect();
    let wanted: Vec<_> = has.iter().filter(|text| SECTIONS.contains(&text.as_str())).collect();
    (wanted != SECTIONS.iter().collect::<Vec<_>>()).then(|| {
        format!(
            "its sections are {}; each example has, in this order: {}",
            has.join(", "),
            SECTIONS.join(", ")
        )
    })
}

/// The folder of a page's driver.
fn driver(page: &Page, drivers: &Path) -> PathBuf {
    drivers.join(page.name().replace('-', "_"))
}

/// Source files of an example that its page does not show.
fn sources_left_out(book: &Book, page: &Page, drivers: &Path) -> Vec<String> {
    let folder = driver(page, drivers);
    let whole = includes(book, page).into_iter().filter(|include| include.part.is_none());
    let shown: Vec<_> = whole.filter_map(|include| include.file.canonicalize().ok()).collect();
    let left_out = |file: &PathBuf| file.canonicalize().is_ok_and(|file| !shown.contains(&file));
    match sources(&folder) {
        files if files.is_empty() => vec![format!("there is no driver in {}", folder.display())],
        files => files
            .into_iter()
            .filter(left_out)
            .map(|file| format!("it does not include {}", file.display()))
            .collect(),
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect();
    files.sort();
    files
}

/// Drivers without a page.
pub fn without_page(book: &Book, drivers: &Path) -> Vec<String> {
    let pages: Vec<_> = book.examples().map(|page| driver(page, drivers)).collect();
    let mut missing: Vec<_> = std::fs::read_dir(drivers)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.is_dir() && !pages.contains(folder))
        .map(|folder| format!("the driver {} has no page in examples", folder.display()))
        .collect();
    missing.sort();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# `one`: an example\n\nIt is one.\n\n## What it shows\n\n## The code\n\n\
                        ```rust\n{{#include ../../kernel/one/one.rs}}\n```\n\n## Try it\n\n\
                        See [the start](../start.md#how-it-begins) and [there](https://example.org/).\n\n\
                        ## What changed\n\n## What goes wrong\n";
    const START: &str = "# Start\n\n## How it begins\n\n[below](#how-it-begins)\n";
    const CONTENTS: &str = "- [Start](start.md)\n- [one](examples/one.md)\n";

    /// What is wrong with a book of these files, given by path below its root.
    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let good = [
            ("src/SUMMARY.md", CONTENTS),
            ("src/start.md", START),
            ("src/examples/one.md", GOOD),
            ("kernel/one/one.rs", ""),
        ];
        for (path, text) in good.iter().chain(files) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (book, drivers) = (Book::at(dir.path().join("src")).unwrap(), dir.path().join("kernel"));
        [problems(&book, &drivers), without_page(&book, &drivers)].concat()
    }

    #[track_caller]
    fn only_wrong(files: &[(&str, &str)], with: &str) {
        let found = wrong(files);
        assert!(found.len() == 1 && found[0].contains(with), "not only {with:?}: {found:?}");
    }

    #[test]
    fn nothing_is_wrong_with_a_good_book() {
        assert_eq!(wrong(&[]), [""; 0]);
    }

    #[test]
    fn a_page_that_the_contents_do_not_name_is_found() {
        only_wrong(&[("src/lost.md", "# Lost\n")], "does not name lost.md");
        only_wrong(&[("src/SUMMARY.md", &format!("{CONTENTS}- [x](x.md)\n"))], "x.md leads nowhere");
    }

    #[test]
    fn links_that_lead_nowhere_or_out_of_the_book_are_found() {
        for link in
            ["nowhere.md", "#nowhere", "examples/one.md#nowhere", "../kernel/one/one.rs", "SUMMARY.md"]
        {
            only_wrong(
                &[("src/start.md", &format!("{START}[x]({link})\n"))],
                &format!("{link} leads nowhere"),
            );
        }
    }

    #[test]
    fn a_source_file_that_is_not_there_or_left_out_is_found() {
        only_wrong(&[("kernel/one/more.rs", "")], "more.rs");
        let including = |what: &str| format!("{START}{{{{#include {what}}}}}\n");
        only_wrong(&[("src/start.md", &including("gone.rs"))], "includes gone.rs");
        only_wrong(&[("src/start.md", &including("start.md:part"))], "includes start.md:part");
        let marked = including("start.md:part") + "<!-- ANCHOR: part\n-->";
        assert_eq!(wrong(&[("src/start.md", &marked)]), [""; 0]);
    }

    #[test]
    fn a_driver_without_a_page_and_a_page_without_a_driver_are_found() {
        only_wrong(&[("kernel/two/two.rs", "")], "two has no page");
        let contents = format!("{CONTENTS}- [t](examples/two.md)\n");
        only_wrong(&[("src/examples/two.md", GOOD), ("src/SUMMARY.md", &contents)], "no driver in");
    }

    #[test]
    fn a_section_that_is_missing_is_found() {
        only_wrong(&[("src/examples/one.md", &GOOD.replace("## Try it", "## Use it"))], "its sections are");
    }
}
