// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard doctor`.

use std::process::ExitCode;

use blockyard_lab::{Result, doctor};

/// Prints each need; exit code 1 if one is missing.
pub fn run() -> Result<ExitCode> {
    let report = doctor::report()?;
    anstream::println!("{report}");
    Ok(if report.all_found() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
