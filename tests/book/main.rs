// SPDX-License-Identifier: MIT OR Apache-2.0
//! The book's pages, each typed into a guest of its own: every command prints what its page says, and the kernel does not
//! complain. The pages are found by looking, so there is none without its test.
//!
//! `BLOCKYARD_BOOK=rewrite` puts what the guest says into the pages instead, wherever it differs: for whoever writes a
//! page, or has changed what a driver says.

use std::path::Path;

use blockyard_book::{Answer, Audience, Book, Entry, Page, SPARE, Said, matches, play, rewrite};
use blockyard_lab::{Device, Disk, Error, Kind, Result};
use blockyard_tests::{machine, run};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let book = Book::open().unwrap_or_else(|e| panic!("no book: {e}"));
    let rewriting = std::env::var("BLOCKYARD_BOOK").is_ok_and(|value| value == "rewrite");
    let with_commands = book.pages.iter().filter(|page| !page.entries.is_empty());
    let trials = with_commands.map(|page| trial(&book.src, page, rewriting)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(src: &Path, page: &Page, rewriting: bool) -> Trial {
    let name = page.path.with_extension("").display().to_string().replace('/', "::");
    let (page, file) = (page.clone(), src.join(&page.path));
    Trial::test(name, move || {
        let mut notes = Notes { page: &page, rewriting, said: Vec::new() };
        let machine = machine().disk(Disk::size(SPARE));
        let machine = page.devices.iter().fold(machine, |machine, spec| machine.device(Device::new(spec)));
        run(machine, |guest| play(guest, &page.entries, &mut notes));
        if rewriting {
            std::fs::write(&file, rewrite(&page, &notes.said)).map_err(Failed::from)?;
        }
        Ok(())
    })
}

/// Holds each answer against the page, or keeps them all.
struct Notes<'a> {
    page: &'a Page,
    rewriting: bool,
    said: Vec<Said>,
}

impl Audience for Notes<'_> {
    fn ended(&mut self, entry: &Entry, answer: Answer) -> Result<()> {
        let Answer { status, output } = answer;
        let place = format!("{}:{}: `{}`", self.page.path.display(), entry.line, entry.command);
        if entry.fails != (status != 0) {
            let message = format!("{place} ended with exit code {status}, and printed:\n{output}");
            return Err(Error::new(Kind::Guest, message));
        }
        if !self.rewriting && !matches(&entry.expected, &output) {
            let message = format!("{place}: the page says\n{}and the guest said\n{output}", entry.expected);
            return Err(Error::new(Kind::Guest, message).with_help(
                "BLOCKYARD_BOOK=rewrite cargo test --release -p blockyard-tests --test book puts it into the page",
            ));
        }
        self.said.push(Said { entry: self.said.len(), output });
        Ok(())
    }
}
