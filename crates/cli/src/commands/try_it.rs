// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard try`: the page of an example, typed into a guest, and then the prompt.

use std::io::IsTerminal;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use blockyard_book::{Answer, Audience, Book, Entry, Page, SPARE, matches, play};
use blockyard_lab::guest::Left;
use blockyard_lab::{Device, Disk, Error, Guest, Kind, Result};

use super::machine::prepare;
use crate::{args, output};

const PROMPT: Style = Style::new().bold();
const NAME: Style = AnsiColor::Cyan.on_default().bold();
const WRONG: Style = AnsiColor::Red.on_default().bold();

/// Lists the examples, or types one's page. Exit code 1 if the guest did not answer as the page says.
pub fn run(args: &args::Try) -> Result<ExitCode> {
    let book = Book::open()?;
    let Some(name) = &args.name else {
        list(&book);
        return Ok(ExitCode::SUCCESS);
    };
    let page = book.example(name)?;
    let machine = prepare(&args.machine)?.disk(Disk::size(SPARE));
    let guest =
        page.devices.iter().fold(machine, |machine, spec| machine.device(Device::new(spec))).boot()?;
    anstream::println!("{NAME}{}{NAME:#}: {}", page.name(), page.about);
    let mut show = Show { page, wrong: None };
    play(&guest, &page.entries, &mut show)?;
    let wrong = show.wrong;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        stay(&guest, page)?;
    }
    guest.finish()?;
    wrong.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn list(book: &Book) {
    let width = book.examples().map(|page| page.name().len()).max().unwrap_or(0);
    for page in book.examples() {
        anstream::println!("{NAME}{:<width$}{NAME:#}  {}", page.name(), page.about);
    }
}

/// The prompt of the guest, until the person leaves.
fn stay(guest: &Guest, page: &Page) -> Result<()> {
    let module = page.name().replace('-', "_");
    let loaded = guest.exec(&format!("test -e /sys/module/{module}"))?.status.success();
    let again = if loaded { String::new() } else { format!("`modprobe {module}` loads it again; ") };
    anstream::eprintln!("\nThe prompt is yours: {again}Ctrl-] leaves and ends the guest.");
    if guest.console()? == Left::Keys {
        anstream::eprintln!();
    }
    Ok(())
}

/// Shows what is typed and what comes back, and keeps the first answer that is not the page's.
struct Show<'a> {
    page: &'a Page,
    wrong: Option<Error>,
}

impl Audience for Show<'_> {
    fn typed(&mut self, entry: &Entry) -> Result<()> {
        anstream::println!("{PROMPT}# {}{PROMPT:#}", entry.command.replace('\n', "\n> "));
        Ok(())
    }

    fn printed(&mut self, bytes: &[u8]) -> Result<()> {
        output::pass_on(std::io::stdout().lock(), bytes)
    }

    fn ended(&mut self, entry: &Entry, answer: Answer) -> Result<()> {
        let wrong = if !matches(&entry.expected, &answer.output) {
            let says = entry.expected.trim_end();
            anstream::println!("{WRONG}the page says:{WRONG:#}\n{says}");
            "printed something else than its page says".to_owned()
        } else if entry.fails != (answer.status != 0) {
            format!("ended with exit code {}", answer.status)
        } else {
            return Ok(());
        };
        let place = format!("{}:{}", self.page.path.display(), entry.line);
        let error = Error::new(Kind::Guest, format!("{place}: `{}` {wrong}", entry.command));
        self.wrong.get_or_insert(error);
        Ok(())
    }
}
