// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard exec`: one command in a guest, with streams and exit code as if it were local.

use std::io::IsTerminal;
use std::process::ExitCode;

use blockyard_lab::guest::{Session, Status, To};
use blockyard_lab::{Result, Visit};

use super::machine::prepare;
use crate::{args, output};

/// Runs it in a guest that runs already, or in one that is booted for it.
pub fn run(args: &args::Exec) -> Result<ExitCode> {
    if let Some(name) = &args.guest {
        return exec(&*Visit::to(name)?, args).map(code);
    }
    let guest = prepare(&args.machine)?.boot()?;
    let status = exec(&guest, args)?;
    guest.finish()?;
    Ok(code(status))
}

/// A status of the command as one of ours.
fn code(status: Status) -> ExitCode {
    ExitCode::from(u8::try_from(status.code() & 0xff).unwrap_or(1))
}

fn exec(session: &Session, args: &args::Exec) -> Result<Status> {
    for file in &args.files {
        session.push(file, "")?;
    }
    let mut command = session.command(&args.command).on_output(pass_on);
    command = match args.timeout {
        Some(limit) => command.timeout(limit),
        None => command.no_timeout(),
    };
    // A terminal's input would be read away from whoever started us; a pipe or a file is meant for the command.
    if !std::io::stdin().is_terminal() {
        command = command.stdin_from(std::io::stdin());
    }
    Ok(command.run()?.status)
}

fn pass_on(to: To, bytes: &[u8]) -> Result<()> {
    match to {
        To::Stdout => output::pass_on(std::io::stdout().lock(), bytes),
        To::Stderr => output::pass_on(std::io::stderr().lock(), bytes),
    }
}
