// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard build` and `blockyard lint`: the kernel side.

use std::process::ExitCode;

use blockyard_lab::{Kernel, Result, modules};

use super::machine::spec;
use crate::args;

/// Builds the drivers that were named, or all, and prints where each module is.
pub fn run(args: &args::Build) -> Result<ExitCode> {
    let kdir = match &args.kdir {
        Some(kdir) => kdir.clone(),
        None => Kernel::ensure(&spec(&args.kernel))?.kdir(),
    };
    if args.ide {
        println!("{}", modules::write_ide_project(&kdir)?.display());
    }
    let build = args.drivers.iter().fold(modules::Build::for_kdir(kdir), |build, name| build.driver(name));
    for module in build.run()? {
        println!("{}", module.built_at().display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the kernel side's format and runs clippy over it.
pub fn lint(args: &args::Lint) -> Result<ExitCode> {
    modules::check_format(args.fix)?;
    modules::Build::new(&Kernel::ensure(&spec(&args.kernel))?).clippy()?;
    println!("the kernel side is formatted, and clippy has no warning");
    Ok(ExitCode::SUCCESS)
}
