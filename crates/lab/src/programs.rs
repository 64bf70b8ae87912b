// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of this workspace that the lab starts: those that run in the guest, and the one that serves virtio devices to
//! it.
//!
//! They are built by cargo when a guest first needs them, also by a test that uses the lab as a library. The result is
//! cached by the sources; cargo's own folder is kept beside it, so that a change costs seconds. All of them are linked
//! statically: what runs in the guest so that any root file system will do, and what serves devices so that the crates that
//! both stand on are compiled once.

mod build;
mod cargo_install;
mod rublk;

pub use rublk::{Rublk, rublk};

use std::path::{Path, PathBuf};

use build::Set;

use crate::cache::Lease;
use crate::error::Result;

/// What runs in the guest: the agent, `simctl`, `chrctl` and what tests bring.
const GUEST: Set = Set {
    label: "guest",
    what: "the guest's programs",
    includes: "the agent, simctl and others",
    programs: &[
        ("blockyard-agent", "blockyard-agent"),
        ("blockyard-client", "chrctl"),
        ("blockyard-client", "chrtest"),
        ("blockyard-client", "simctl"),
        ("blockyard-client", "simtorture"),
        ("blockyard-gauge", "gauge"),
    ],
    sources: &[
        "Cargo.toml",
        "Cargo.lock",
        "crates/abi",
        "crates/agent",
        "crates/client",
        "crates/gauge",
        "crates/proto",
    ],
};

/// What serves virtio devices on the host.
const DEVICE: Set = Set {
    label: "device",
    what: "the program that serves devices",
    includes: "blockyard-device",
    programs: &[("blockyard-device", "blockyard-device")],
    sources: &["Cargo.toml", "Cargo.lock", "crates/abi", "crates/device"],
};

/// The program that serves devices, kept in the cache for as long as this value lives.
#[derive(Debug)]
pub struct DeviceProgram {
    dir: Lease,
}

impl DeviceProgram {
    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join("blockyard-device")
    }
}

/// The program that serves devices, from the user's cache or else built now.
pub fn device() -> Result<DeviceProgram> {
    Ok(DeviceProgram { dir: DEVICE.ensure()? })
}

/// The guest's programs, kept in the cache for as long as this value lives.
#[derive(Debug)]
pub struct Programs {
    dir: Lease,
}

impl Programs {
    /// The folder that holds them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The guest's first process.
    pub fn agent(&self) -> PathBuf {
        self.dir.join("blockyard-agent")
    }

    /// The command that steers the character devices among the examples.
    pub fn chrctl(&self) -> PathBuf {
        self.dir.join("chrctl")
    }

    /// What tests need of those devices and no shell can do; only a test that wants it brings it to a guest.
    pub fn chrtest(&self) -> PathBuf {
        self.dir.join("chrtest")
    }

    /// The command that steers `simblk`.
    pub fn simctl(&self) -> PathBuf {
        self.dir.join("simctl")
    }

    /// The hostile user of `simblk`'s control device; only a test that wants it brings it to a guest.
    pub fn simtorture(&self) -> PathBuf {
        self.dir.join("simtorture")
    }

    /// What measures in the guest, where fio does not; only the bench brings it to a guest.
    pub fn gauge(&self) -> PathBuf {
        self.dir.join("gauge")
    }
}

/// The guest's programs, from the user's cache or else built now.
pub fn ensure() -> Result<Programs> {
    Ok(Programs { dir: GUEST.ensure()? })
}
