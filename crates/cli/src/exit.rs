// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the command ends: an exit code that a script can act on, an error that a person can act on.

use std::error::Error as StdError;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use blockyard_lab::{Error, Kind, interrupt};

/// What was asked for was tried, and did not hold.
pub const FAILED: u8 = 1;
/// The machine died while it was being used. Not 125: `git bisect run` reads 125 as "cannot be tested", and
/// a kernel that dies has been tested.
pub const MACHINE_DIED: u8 = 123;
/// A deadline passed: the code of timeout(1).
pub const TIMEOUT: u8 = 124;
/// The lab could not do its part, so that nothing is known about what was asked.
pub const LAB: u8 = 125;
/// A shell's code for a program that SIGPIPE has ended.
pub const READER_GONE: u8 = 128 + 13;

/// The cause of an error: whoever read our output reads no more. They know, so nothing is said of it.
#[derive(Debug)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its reader has gone")
    }
}

impl StdError for ReaderGone {}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// The exit code for an error.
pub fn code(error: &Error) -> u8 {
    match error.kind() {
        Kind::Usage => 2,
        Kind::MachineDied | Kind::Boot => MACHINE_DIED,
        Kind::Timeout => TIMEOUT,
        Kind::Interrupted => 128 + interrupt::signal().and_then(|s| u8::try_from(s).ok()).unwrap_or(2),
        Kind::Need | Kind::Network | Kind::NoSpace | Kind::Lab => LAB,
        _ => FAILED,
    }
}

/// Prints the error, its causes and what to do, and gives the exit code.
pub fn report(error: &Error) -> ExitCode {
    if error.source().is_some_and(|cause| cause.is::<ReaderGone>()) {
        return ExitCode::from(READER_GONE);
    }
    anstream::eprintln!("{ERROR}error{ERROR:#}: {error}");
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !said.contains(&text) {
            anstream::eprintln!("  because: {text}");
            said.push_str(&text);
        }
        cause = inner.source();
    }
    if let Some(help) = error.help() {
        anstream::eprintln!("{HELP}help{HELP:#}: {help}");
    }
    ExitCode::from(code(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_machine_a_failed_lab_and_wrong_use_have_codes_of_their_own() {
        let of = |kind| code(&Error::new(kind, "x"));
        assert_eq!(
            [of(Kind::MachineDied), of(Kind::Lab), of(Kind::Usage), of(Kind::Timeout)],
            [123, 125, 2, 124]
        );
        assert_eq!(of(Kind::KernelLog), 1);
    }
}
