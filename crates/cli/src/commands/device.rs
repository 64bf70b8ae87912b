// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard device`: serves a virtio device, for a QEMU that somebody else starts.

use std::process::ExitCode;

use blockyard_device::trace::TraceOptions;
use blockyard_device::{DeviceSpec, ServeOptions};
use blockyard_lab::{Error, Kind, Result};

use crate::args;

/// Serves until Ctrl-C, SIGTERM or a closing terminal, which is success: there is no other end.
pub fn run(args: args::Device) -> Result<ExitCode> {
    let spec = parse(&args.spec)?;
    let trace = args.trace.map(|file| TraceOptions { file, requests: args.trace_requests });
    anstream::eprintln!("{spec} at {}: Ctrl-C ends it", args.socket.display());
    let served = blockyard_device::run(&spec, &ServeOptions { socket: args.socket, trace });
    served.map(|()| ExitCode::SUCCESS).map_err(explain)
}

/// A device's description that makes sense.
pub fn parse(text: &str) -> Result<DeviceSpec> {
    text.parse().map_err(|error: blockyard_device::spec::SpecError| explain(error.into()))
}

fn explain(error: blockyard_device::Error) -> Error {
    use blockyard_device::Error as Device;
    match error {
        Device::Spec(_) => Error::new(Kind::Usage, error.to_string())
            .with_help("`blockyard device --help` lists the types and their options"),
        Device::Socket { .. } => Error::new(Kind::Usage, error.to_string()),
        _ => Error::new(Kind::Lab, error.to_string()),
    }
}
