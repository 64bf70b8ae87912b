// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command. It parses, calls one function of the lab, and ends with an exit code; whatever can be of use
//! to another program lives in `blockyard-lab`.

mod args;
mod commands;
mod exit;
mod output;
mod tour;

use std::io::IsTerminal;
use std::process::ExitCode;

use blockyard_lab::{Result, interrupt};
use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    output::guarded(|| match interrupt::arm().and_then(|()| dispatch(cli.command)) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    })
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => commands::run::run(&args),
        Command::Try(args) => commands::try_it::run(&args),
        Command::Test(args) => commands::test::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Doctor => commands::doctor::run(),
        Command::Kernel(args) => commands::kernel::run(&args),
        Command::Build(args) => commands::build::run(&args),
        Command::Lint(args) => commands::build::lint(&args),
        Command::Boot(args) => commands::boot::run(&args),
        Command::Exec(args) => commands::exec::run(&args),
        Command::Cp(args) => commands::cp::run(&args),
        Command::Device(args) => commands::device::run(args),
        Command::Ps(args) => commands::guests::ps(&args),
        Command::Stop(args) => commands::guests::stop(&args),
    }
}

/// What the lab tells of its doings, on stderr: nothing unless asked.
fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "blockyard_lab=info,blockyard_device=info,blockyard=info",
        _ => "blockyard_lab=debug,blockyard_device=debug,blockyard=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
}
