// SPDX-License-Identifier: MIT OR Apache-2.0
//! The book: all its pages, found by looking.

use std::path::{Path, PathBuf};

use blockyard_lab::{Error, Kind, Result, workspace};

use crate::page::Page;

/// The folder with the pages of the examples, below the book's source folder.
pub(crate) const EXAMPLES: &str = "examples";
/// The table of contents, which is no page.
pub(crate) const SUMMARY: &str = "SUMMARY.md";

/// Every page of the book.
#[derive(Debug)]
pub struct Book {
    /// The folder of the pages and the table of contents.
    pub src: PathBuf,
    /// The pages, by path.
    pub pages: Vec<Page>,
}

impl Book {
    /// The book of this workspace.
    pub fn open() -> Result<Self> {
        Self::at(workspace::root()?.join("docs/src"))
    }

    /// The book whose source folder this is.
    pub fn at(src: impl Into<PathBuf>) -> Result<Self> {
        let src = src.into();
        let mut files = Vec::new();
        collect(&src, &mut files)?;
        files.retain(|file| *file != src.join(SUMMARY));
        files.sort();
        let pages = files.iter().map(|file| read(&src, file)).collect::<Result<_>>()?;
        Ok(Self { src, pages })
    }

    /// The pages that have an example each.
    pub fn examples(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|page| page.is_example())
    }

    /// The page of an example. A dash and an underscore are the same, as they are in a module's name.
    pub fn example(&self, name: &str) -> Result<&Page> {
        let wanted = name.replace('_', "-");
        self.examples().find(|page| page.name().replace('_', "-") == wanted).ok_or_else(|| {
            let known: Vec<_> = self.examples().map(Page::name).collect();
            Error::new(Kind::Usage, format!("there is no example `{name}`"))
                .with_help(format!("the examples are: {}", known.join(", ")))
        })
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::new(Kind::NotFound, format!("cannot read {}", folder.display())).with_source(e)
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "md") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(src: &Path, file: &Path) -> Result<Page> {
    let source = std::fs::read_to_string(file)
        .map_err(|e| Error::new(Kind::Lab, format!("cannot read {}", file.display())).with_source(e))?;
    // It was found below that folder.
    let path = file.strip_prefix(src).unwrap_or(file);
    Page::parse(path, source)
        .map_err(|problem| Error::new(Kind::Lab, format!("a page of the book: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> (tempfile::TempDir, Book) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(EXAMPLES)).unwrap();
        for (path, text) in
            [("SUMMARY.md", "no page"), ("intro.md", "# Intro\n"), ("examples/dm-hello.md", "# `dm-hello`\n")]
        {
            std::fs::write(dir.path().join(path), text).unwrap();
        }
        let book = Book::at(dir.path()).unwrap();
        (dir, book)
    }

    #[test]
    fn every_page_is_found_and_the_contents_are_none() {
        let (_dir, book) = book();
        let paths: Vec<_> = book.pages.iter().map(|page| page.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["examples/dm-hello.md", "intro.md"]);
        assert_eq!(book.examples().map(Page::name).collect::<Vec<_>>(), ["dm-hello"]);
    }

    #[test]
    fn an_example_is_found_by_either_spelling_and_an_unknown_one_is_answered_with_the_known() {
        let (_dir, book) = book();
        assert_eq!(book.example("dm_hello").unwrap().name(), "dm-hello");
        let error = book.example("intro").unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(error.help(), Some("the examples are: dm-hello"));
    }
}
