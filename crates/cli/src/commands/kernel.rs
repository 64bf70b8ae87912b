// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard kernel build|path|config|menuconfig|clean`. What a script would use goes to standard output alone.

use std::process::ExitCode;

use blockyard_lab::{Kernel, Result, kernel};

use super::machine::spec;
use crate::args;

/// Does it.
pub fn run(args: &args::Kernel) -> Result<ExitCode> {
    match args {
        args::Kernel::Build(choice) | args::Kernel::Path(choice) => {
            println!("{}", Kernel::ensure(&spec(choice))?.image().display());
        }
        args::Kernel::Config(choice) => print!("{}", kernel::config(&spec(choice))?),
        args::Kernel::Menuconfig(choice) => print!("{}", kernel::menuconfig(&spec(choice))?),
        args::Kernel::Clean { all } => clean(*all)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn clean(all: bool) -> Result<()> {
    let cleaned = kernel::clean(all)?;
    cleaned.removed.iter().for_each(|name| println!("removed {name}"));
    cleaned.in_use.iter().for_each(|name| println!("kept {name}: another blockyard uses it"));
    println!("{} MiB given back", cleaned.bytes >> 20);
    Ok(())
}
