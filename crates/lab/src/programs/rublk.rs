// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rublk`, which serves disks of the kernel's `ublk` from a program in the guest. It is no part of the workspace: the bench
//! compares with it.

use std::path::PathBuf;

use crate::cache::{Cache, Key, Lease};
use crate::error::Result;
use crate::programs::cargo_install::Package;
use crate::toolchain::{Rustc, TOOLS};
use crate::version::Version;

/// The newest when this was written.
const VERSION: Version = Version::new(0, 2, 15);

/// `rublk`, kept in the cache for as long as this value lives.
#[derive(Debug)]
pub struct Rublk {
    dir: Lease,
}

impl Rublk {
    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join("bin/rublk")
    }
}

/// `rublk`, linked for a guest, from the user's cache or else built now from cargo's registry.
pub fn rublk() -> Result<Rublk> {
    let rustc = Rustc::find()?;
    let package = Package {
        name: "rublk",
        version: VERSION,
        title: "rublk",
        purpose: "serves the bench's ublk disks",
        // The default is for disks in a graphics card's memory, and wants OpenCL.
        args: &["--no-default-features"],
        crates: 165,
    };
    let key = Key::new(&format!("rublk-{VERSION}")).with("rustc", rustc.version_text());
    let what = format!("rublk {VERSION}");
    let dir = Cache::open()?.entry(TOOLS, &key)?.get_or_make(&what, |dir| package.install(dir, &rustc))?;
    Ok(Rublk { dir })
}
