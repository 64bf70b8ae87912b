// SPDX-License-Identifier: MIT OR Apache-2.0
//! `simctl`: makes, lists and removes simulated disks, and takes part in their I/O as a mapping program. Thin: each command
//! is a call or two of `blockyard_client`.

mod args;
mod disks;
mod flow;
mod quantity;
mod signals;

use std::error::Error as _;
use std::io::{self, Write};
use std::process::ExitCode;

use blockyard_client::Error;
use clap::Parser;

use args::{Cli, Command};

/// How a command failed.
#[derive(Debug)]
enum Failure {
    /// The driver, or the way to it.
    Driver(Error),
    /// The output could not be written.
    Output(io::Error),
    /// A signal ended the command before it was done.
    Interrupted,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted => Self::Interrupted,
            error => Self::Driver(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    let result = run(cli.command, &mut out).and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(report(&failure)),
    }
}

fn run(command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Create(create) => disks::create(&create, out),
        Command::List { json } => disks::list(json, out),
        Command::Info { disk, json } => disks::info(disk.0, json, out),
        Command::Remove { disk, force } => disks::remove(disk.0, force, out),
        Command::Register(target) => flow::register(&target, out).map(drop),
        Command::Reqsize(target) => flow::reqsize(&target, out).map(drop),
        Command::Getblk(target) => flow::getblk(&target, out).map(drop),
        Command::Setblk { target, policy } => flow::setblk(&target, policy, out),
        Command::Io(io) => flow::io(&io, out),
    }
}

/// Says on standard error what failed; gives the exit code (they are listed in `simctl --help`).
fn report(failure: &Failure) -> u8 {
    match failure {
        Failure::Interrupted => {
            eprintln!("simctl: interrupted");
            130
        }
        // The reader of our output has seen enough.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 141,
        Failure::Output(error) => {
            eprintln!("simctl: cannot write the output: {error}");
            1
        }
        Failure::Driver(error) => {
            eprintln!("simctl: {error}{}", cause(error));
            if let Some(help) = error.help() {
                eprintln!("        {help}");
            }
            code(error)
        }
    }
}

fn cause(error: &Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

fn code(error: &Error) -> u8 {
    match error {
        Error::NotLoaded { .. } => 3,
        Error::Permission { .. } => 4,
        Error::NoSuchDisk { .. } | Error::DiskGone { .. } => 5,
        Error::InUse { .. } | Error::Taken { .. } | Error::TooMany => 6,
        Error::Lapsed { .. } => 7,
        _ => 1,
    }
}
