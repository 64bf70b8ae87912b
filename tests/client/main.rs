// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs that use `simblk` from user space, in a guest: `simctl` as people call it, its policies under real
//! I/O, and a hostile user.

mod commands;
mod mapping;
mod policies;
mod torture;

use blockyard_lab::guest::Running;
use blockyard_lab::{Guest, Result};
use std::time::Duration;

/// Starts a `simctl` command that registers as a mapper; returns once it has.
fn mapper<'a>(guest: &'a Guest, arguments: &str) -> Result<Running<'a>> {
    let argv = std::iter::once("simctl").chain(arguments.split(' '));
    let mut running = guest.command(argv).spawn()?;
    running.wait_for_text("mapper of simblk", Duration::from_secs(10))?;
    Ok(running)
}

/// Runs a command that must fail with this code and say this on standard error.
#[track_caller]
fn fails(guest: &Guest, line: &str, code: i32, says: &str) -> Result<()> {
    let output = guest.exec(line)?;
    assert_eq!(output.status.code(), code, "`{line}`: {}", output.stderr_text());
    assert!(output.stderr_text().contains(says), "`{line}` does not say {says:?}: {}", output.stderr_text());
    Ok(())
}
