// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a step plays: it types into the guest, shows the command and its output, and keeps both.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use blockyard_lab::guest::{Output, Running};
use blockyard_lab::{Error, Guest, Kind, Result};

use super::fio::Comparison;
use super::report::{StepReport, Typed};

const NUMBER: Style = Style::new().dimmed();
const NAME: Style = AnsiColor::Cyan.on_default().bold();
const PROMPT: Style = Style::new().bold();

/// Lines of one command's output that are shown; the report keeps all.
const SHOWN_LINES: usize = 14;
/// How long a command in the background may take to be ready, under KVM.
const READY: Duration = Duration::from_secs(10);
const SIGINT: i32 = 2;

/// One step under way.
pub struct Stage<'a> {
    guest: &'a Guest,
    name: &'static str,
    started: Instant,
    typed: Vec<Typed>,
    figures: Vec<Comparison>,
}

/// A command that goes on in the background.
pub struct Background<'a> {
    line: String,
    running: Running<'a>,
}

/// Prints a step's title line.
pub fn title(number: usize, total: usize, name: &str, about: &str) {
    anstream::println!("\n{NUMBER}{number:>2}/{total}{NUMBER:#} {NAME}{name}{NAME:#}: {about}");
}

/// Prints a line of the tour's own.
pub fn say(line: &str) {
    anstream::println!("      {line}");
}

impl<'a> Stage<'a> {
    /// Prints the title and starts the clock.
    pub fn open(
        guest: &'a Guest,
        number: usize,
        total: usize,
        name: &'static str,
        about: &'static str,
    ) -> Self {
        title(number, total, name, about);
        Self { guest, name, started: Instant::now(), typed: Vec::new(), figures: Vec::new() }
    }

    /// The guest, for what is done to it from outside.
    pub fn guest(&self) -> &'a Guest {
        self.guest
    }

    /// Types a shell line, shows it with its output, and gives the output; an error unless it exits with 0.
    pub fn sh(&mut self, line: &str) -> Result<String> {
        anstream::println!("      {PROMPT}# {line}{PROMPT:#}");
        let output = self.run(line)?;
        show(&output);
        Ok(output)
    }

    /// As [`sh`](Self::sh), without showing it: for what is only needed to check or to set up.
    pub fn quiet(&mut self, line: &str) -> Result<String> {
        self.run(line)
    }

    /// Starts a command that goes on while others are typed, and waits until it has said `ready`.
    pub fn start(&mut self, line: &str, ready: &str) -> Result<Background<'a>> {
        anstream::println!("      {PROMPT}# {line} &{PROMPT:#}");
        let mut running = self.guest.command(["/bin/sh", "-c", &format!("exec {line}")]).spawn()?;
        running.wait_for_text(ready, READY)?;
        Ok(Background { line: line.into(), running })
    }

    /// Ends such a command with Ctrl-C, and shows what it said.
    pub fn stop(&mut self, background: Background<'a>) -> Result<()> {
        anstream::println!("      {PROMPT}# fg # and Ctrl-C{PROMPT:#}");
        background.running.signal(SIGINT)?;
        let done = background.running.wait()?;
        self.keep(&background.line, &done);
        show(&done.stdout_text());
        Ok(())
    }

    fn keep(&mut self, line: &str, done: &Output) -> String {
        let output = format!("{}{}", done.stdout_text(), done.stderr_text());
        self.typed.push(Typed { command: line.into(), exit: done.status.code(), output: output.clone() });
        output
    }

    fn run(&mut self, line: &str) -> Result<String> {
        let done = self.guest.exec(line)?;
        let output = self.keep(line, &done);
        if done.status.success() {
            return Ok(output);
        }
        show(&output);
        Err(Error::new(Kind::Guest, format!("`{line}` ended with {}", done.status)))
    }

    /// Keeps a measured comparison for the report.
    pub fn figure(&mut self, comparison: Comparison) {
        self.figures.push(comparison);
    }

    /// Stops the clock and makes the step's report.
    pub fn close(self, result: Result<()>) -> StepReport {
        let mut report = StepReport::of(self.name, self.started.elapsed(), result, self.typed);
        report.figures = self.figures;
        report
    }
}

/// An error that says what was looked for, unless `text` holds it.
pub fn expect(text: &str, wanted: &str) -> Result<()> {
    if text.contains(wanted) {
        return Ok(());
    }
    Err(Error::new(Kind::Guest, format!("expected {wanted:?} in the output, and it is not there")))
}

fn show(output: &str) {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    for line in lines.iter().take(SHOWN_LINES) {
        anstream::println!("      {line}");
    }
    if lines.len() > SHOWN_LINES {
        anstream::println!("      {NUMBER}... {} more lines{NUMBER:#}", lines.len() - SHOWN_LINES);
    }
}
