// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device to be, and what is known of it before a guest has it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::process::{Command, Output};
use crate::programs::{self, DeviceProgram};

/// The longest name of a device: it is part of its socket's path.
const MAX_NAME: usize = 24;

/// What QEMU's side must know of a device; our own program tells it of each of its types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// What it is called, as in `blk`. A device without a name of its own is named after it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its virtio id: 2 is a disk.
    pub virtio_id: u16,
    /// How many virtqueues it has.
    pub queues: u16,
    /// How many descriptors each of them has.
    pub queue_size: u16,
    /// The size of its configuration space, in bytes.
    pub config_size: u32,
}

/// A virtio device to be, which a program serves over vhost-user.
#[derive(Debug, Clone)]
pub struct Device {
    server: Server,
    name: Option<String>,
    trace: bool,
}

#[derive(Debug, Clone)]
enum Server {
    Ours(String),
    Program { shape: Shape, program: PathBuf, args: Vec<OsString> },
}

impl Device {
    /// One of ours: its type and options, as in `blk,size=64M`. `blockyard device --help` tells them.
    pub fn new(spec: impl Into<String>) -> Self {
        Self::of(Server::Ours(spec.into()))
    }

    /// One that a program of yours serves. `{socket}` in an argument stands for the path of the socket that it must
    /// listen on; it serves one connection after the other, and ends at SIGTERM.
    pub fn program<S: Into<OsString>>(
        shape: Shape,
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self::of(Server::Program { shape, program: program.into(), args })
    }

    fn of(server: Server) -> Self {
        Self { server, name: None, trace: false }
    }

    /// What the lab calls it: [`Guest::device`](crate::Guest::device) finds it by this. By default its type and a number:
    /// `blk0`, `blk1`, `hello0`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Has one of ours log each request, descriptor by descriptor.
    #[must_use]
    pub fn trace(mut self) -> Self {
        self.trace = true;
        self
    }

    /// Finds or builds the program, and has it say the shape. Nothing is started.
    pub(crate) fn plan(&self) -> Result<Plan> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        let name = self.name.clone();
        match &self.server {
            Server::Program { shape, program, args } => {
                let (program, args) = (program.clone(), args.clone());
                Ok(Plan { name, shape: shape.clone(), program, args, ours: None })
            }
            Server::Ours(spec) => {
                let ours = Arc::new(programs::device()?);
                let program = ours.path();
                let shape = describe(&program, spec)?;
                let mut args: Vec<OsString> = vec![spec.into(), "--socket".into(), SOCKET.into()];
                args.extend(self.trace.then(|| "--trace".into()));
                Ok(Plan { name, shape, program, args, ours: Some(ours) })
            }
        }
    }
}

/// What stands for the socket's path.
const SOCKET: &str = "{socket}";

/// A device that is about to be served.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: Option<String>,
    pub(crate) shape: Shape,
    program: PathBuf,
    args: Vec<OsString>,
    /// Keeps our own program in the cache.
    ours: Option<Arc<DeviceProgram>>,
}

impl Plan {
    /// The program, listening on this socket.
    pub(crate) fn command(&self, socket: &Path) -> Command<'static> {
        Command::new(&self.program).args(self.args.iter().map(|arg| with_socket(arg, socket)))
    }

    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.ours.is_some()
    }
}

fn with_socket(arg: &OsStr, socket: &Path) -> OsString {
    match arg.to_str() {
        Some(text) if text.contains(SOCKET) => text.replace(SOCKET, &socket.to_string_lossy()).into(),
        _ => arg.to_owned(),
    }
}

/// Asks our program what it would serve; what is wrong with the options is the user's to mend.
fn describe(program: &Path, spec: &str) -> Result<Shape> {
    let output = Command::new(program).args([spec, "--describe"]).output()?;
    if !output.status.success() {
        return Err(refused(spec, &output));
    }
    serde_json::from_slice(&output.stdout)
        .context(Kind::Lab, || format!("{} did not describe the device {spec:?}", program.display()))
}

fn refused(spec: &str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.trim().trim_start_matches("error: ");
    let kind = if output.status.code() == Some(2) { Kind::Usage } else { Kind::Lab };
    Error::new(kind, format!("no device {spec:?}: {why}"))
}

pub(super) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("{name:?} is no name for a device")).with_help(format!(
        "use a letter and then up to {} letters, digits, dashes and underscores",
        MAX_NAME - 1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_reaches_the_program_wherever_it_is_named() {
        let socket = Path::new("/run/a.sock");
        assert_eq!(with_socket("path={socket},x".as_ref(), socket), "path=/run/a.sock,x");
        assert_eq!(with_socket("--trace".as_ref(), socket), "--trace");
    }

    #[test]
    fn a_shape_is_what_the_program_prints() {
        let text = r#"{"type":"rng","virtio_id":4,"queues":1,"queue_size":64,"config_size":0}"#;
        let shape: Shape = serde_json::from_str(text).unwrap();
        assert_eq!((shape.kind.as_str(), shape.virtio_id, shape.queues), ("rng", 4, 1));
    }

    #[test]
    fn names_that_qemu_or_a_path_would_not_take_are_refused() {
        for bad in ["", "0blk", "a b", "a/b", "a,b", "abcdefghijklmnopqrstuvwxy"] {
            assert_eq!(check_name(bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
        assert!(check_name("blk0").is_ok());
    }
}
