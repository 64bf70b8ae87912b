// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard boot`: a guest, and this terminal on its console.

use std::process::ExitCode;

use blockyard_lab::{Result, guest::Left};

use super::machine::prepare;
use crate::args;

/// Boots, joins the console, and ends the guest when its shell ends or Ctrl-] is typed.
pub fn run(args: &args::Boot) -> Result<ExitCode> {
    let mut machine = prepare(&args.machine)?;
    if let Some(name) = &args.name {
        machine = machine.name(name);
    }
    let guest = machine.boot()?;
    anstream::eprintln!("guest {} ({}): Ctrl-] leaves and ends it", guest.name(), guest.accel());
    let left = guest.console()?;
    if left == Left::Keys {
        anstream::eprintln!();
    }
    guest.finish()?;
    Ok(ExitCode::SUCCESS)
}
