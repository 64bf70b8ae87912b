// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard test`: builds what the tests share, then hands over to `cargo test`.
//!
//! The kernel, the drivers, the root file system and the programs of the guest are built here first, with
//! progress, so that no test's time holds a kernel build and no two tests wait for one.

use std::process::ExitCode;

use blockyard_lab::process::{self, Command};
use blockyard_lab::qemu::Qemu;
use blockyard_lab::{Kernel, KernelSpec, Kind, Result, modules, programs, progress, rootfs, workspace};

use super::machine;
use crate::args;

/// What cargo starts a test with, by its name for our only host.
const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";
/// The module of those of the command's tests that boot guests.
const IN_A_GUEST: &str = "in_a_guest::";

/// Runs the tests; an error if one failed, with cargo's own words above it.
pub fn run(args: &args::Test) -> Result<ExitCode> {
    // The release profile is what ./yard has built already.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(workspace::root()?)
        .args(["test", "--release", "--locked", "--workspace"])
        .env("BLOCKYARD_PROFILE", machine::profile(args.profile).to_string())
        // Empty: the newest.
        .env("BLOCKYARD_SERIES", args.series.as_deref().unwrap_or_default())
        .env_remove("LC_ALL")
        .failure_kind(Kind::Build);
    if args.host {
        cargo = cargo.args([
            "--exclude",
            "blockyard-tests",
            "--exclude",
            "own-module",
            "--exclude",
            "own-driver",
        ]);
    } else {
        prepare(args)?;
    }
    if let Some(filter) = &args.filter {
        cargo = cargo.arg(filter);
    }
    // cargo does not pass on what ends it, so each test's process is bound to cargo's life. Where there is no such tool, tests
    // whose cargo is killed run to their end.
    if let Some(setpriv) = process::find_program("setpriv") {
        cargo = cargo.env(RUNNER, format!("{} --pdeathsig KILL", setpriv.display()));
    }
    if args.slow {
        cargo = cargo.args(["--", "--include-ignored"]);
    } else if args.host {
        cargo = cargo.args(["--", "--skip", IN_A_GUEST]);
    }
    cargo.run_in_foreground()?;
    Ok(ExitCode::SUCCESS)
}

fn prepare(args: &args::Test) -> Result<()> {
    let profile = machine::profile(args.profile);
    let kernel =
        Kernel::ensure(&KernelSpec { profile, series: args.series.clone(), ..KernelSpec::default() })?;
    modules::Build::new(&kernel).run()?;
    programs::ensure()?;
    rootfs::ensure()?;
    // Some tests need it, and the others are faster with it. Without a network those may still be what is asked for.
    match Qemu::with_generic_device() {
        Err(error) if error.kind() == Kind::Network => progress::note(format!("no newer QEMU: {error}")),
        other => drop(other?),
    }
    Ok(())
}
