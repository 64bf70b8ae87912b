// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU as a program to start: the system's, or one that was unpacked beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unpacked::Unpacked;
use super::{find, version_of};
use crate::error::{Error, Kind, Result};
use crate::process::Command;
use crate::version::Version;

/// The oldest QEMU that has `vhost-user-test-device-pci`. It was `vhost-user-device-pci` before, and not for users.
const GENERIC: Version = Version { major: 10, minor: 2, patch: 0 };

/// Which QEMU runs a machine. A device that only a newer one knows makes it that one in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QemuChoice {
    /// The system's; under emulation a newer one that was fetched before, because it is faster: by a third of the time that
    /// the guest takes, from 7.2 to 11.1.
    #[default]
    Auto,
    /// The system's.
    System,
    /// The system's if it is at least 10.2, else Debian's newest, which is fetched if it must be.
    Newest,
}

/// A QEMU that can be started.
#[derive(Debug, Clone)]
pub struct Qemu {
    program: PathBuf,
    unpacked: Option<Arc<Unpacked>>,
}

impl Qemu {
    /// The system's.
    pub fn system() -> Result<Self> {
        Ok(Self { program: find()?, unpacked: None })
    }

    /// One that has the generic vhost-user device: the system's if it is new enough, else Debian's newest, unpacked into
    /// the cache.
    pub fn with_generic_device() -> Result<Self> {
        if let Ok(system) = Self::system()
            && system.version().is_ok_and(Self::has_generic_device)
        {
            return Ok(system);
        }
        let qemu = Self::of(Unpacked::ensure().map_err(missing)?);
        let version = qemu.version()?;
        if !Self::has_generic_device(version) {
            let message = format!("Debian's newest QEMU is {version}, and {GENERIC} is needed");
            return Err(Error::new(Kind::Need, message));
        }
        Ok(qemu)
    }

    /// The newer one, if it was fetched before.
    pub fn at_hand() -> Result<Option<Self>> {
        Ok(Unpacked::at_hand()?.map(Self::of))
    }

    fn of(unpacked: Unpacked) -> Self {
        Self { program: unpacked.program(), unpacked: Some(Arc::new(unpacked)) }
    }

    /// Whether a QEMU of this version has the generic vhost-user device.
    pub fn has_generic_device(version: Version) -> bool {
        version >= GENERIC
    }

    /// What identifies it: the program's file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command that starts it.
    pub fn command(&self) -> Command<'static> {
        match &self.unpacked {
            None => Command::new(&self.program),
            Some(unpacked) => unpacked.command(),
        }
    }

    /// Its version; an error if it is older than the lab knows how to use.
    pub fn version(&self) -> Result<Version> {
        version_of(self.command(), &self.program)
    }
}

fn missing(cause: Error) -> Error {
    if !matches!(cause.kind(), Kind::Need | Kind::Network | Kind::NotFound) {
        return cause;
    }
    let message = format!("this needs QEMU {GENERIC} or later, which is not installed and cannot be fetched");
    Error::new(cause.kind(), message)
        .with_help("devices `blk` and `rng` do with any QEMU from 7.2 on; all others need the newer one")
        .with_source(cause)
}
