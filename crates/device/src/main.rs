// SPDX-License-Identifier: MIT OR Apache-2.0
//! A virtio device as a process, for a lab to start, or a person.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use blockyard_device::trace::TraceOptions;
use blockyard_device::{DeviceSpec, Error, ServeOptions, run, spec};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// What a bad command line ends with, as clap's own errors do.
const USAGE: u8 = 2;

/// Serves a virtio device over vhost-user until SIGINT, SIGTERM or SIGHUP; SIGUSR1 prints what it has counted
#[derive(Parser)]
#[command(name = "blockyard-device", version, after_help = spec::help())]
struct Cli {
    /// The device, as TYPE[,OPTION=VALUE..]; a doubled comma in a value is a comma
    spec: String,
    /// Where QEMU connects; the socket is made with mode 0600, and removed at the end
    #[arg(long, value_name = "PATH", required_unless_present = "describe")]
    socket: Option<PathBuf>,
    /// Traces requests, descriptor by descriptor, to FILE or to stderr
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    trace: Option<Option<PathBuf>>,
    /// How many requests are traced, from the first on
    #[arg(long, value_name = "N", default_value_t = 1, requires = "trace")]
    trace_requests: u64,
    /// Prints what a front end must know of the device, as one line of JSON, and ends
    #[arg(long, conflicts_with = "socket")]
    describe: bool,
    /// Tells of connections, too, not only of what is wrong
    #[arg(long, short)]
    verbose: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = if cli.verbose { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    match serve(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, Error::Spec(_)) { USAGE } else { 1 })
        }
    }
}

fn serve(cli: Cli) -> Result<(), Error> {
    let spec: DeviceSpec = cli.spec.parse()?;
    let Some(socket) = cli.socket else {
        println!("{}", spec.describe()?.to_json());
        return Ok(());
    };
    let trace = cli.trace.map(|file| TraceOptions { file, requests: cli.trace_requests });
    run(&spec, &ServeOptions { socket, trace })
}
