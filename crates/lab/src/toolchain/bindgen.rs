// SPDX-License-Identifier: MIT OR Apache-2.0
//! bindgen: the machine's if it is new enough, else our own build of it.

use std::path::{Path, PathBuf};

use super::cargo_install::Package;
use super::rustc::Rustc;
use super::version_line;
use crate::cache::{Cache, Key, Lease};
use crate::error::Result;
use crate::kernel::Recipe;
use crate::process;
use crate::version::Version;

/// The bindgen in `PATH` and its version.
pub(crate) fn installed() -> Option<(PathBuf, Version)> {
    let path = process::find_program("bindgen")?;
    let version = Version::find(&version_line(&path)?)?;
    Some((path, version))
}

/// The folder of a bindgen that will do, and its version.
pub(super) fn ensure(cache: &Cache, rustc: &Rustc, leases: &mut Vec<Lease>) -> Result<(PathBuf, Version)> {
    let recipe = Recipe::load()?;
    if let Some((path, version)) = installed().filter(|(_, v)| *v >= recipe.tools.bindgen) {
        return Ok((path.parent().map(Path::to_owned).unwrap_or_default(), version));
    }
    let version = recipe.bindgen.version;
    let key = Key::new(&format!("bindgen-{version}")).with("rustc", rustc.version_text());
    let lease = cache
        .entry(super::TOOLS, &key)?
        .get_or_make(&format!("bindgen {version}"), |dir| package(version).install(dir, rustc))?;
    let bin = lease.join("bin");
    leases.push(lease);
    Ok((bin, version))
}

/// As a package of cargo's registry.
fn package<'a>(version: Version) -> Package<'a> {
    Package {
        name: "bindgen-cli",
        version,
        title: "bindgen",
        purpose: "makes the kernel's Rust bindings",
        for_guest: false,
        args: &[],
        crates: 75,
    }
}
