// SPDX-License-Identifier: MIT OR Apache-2.0
//! bindgen: the machine's if it is new enough, else Debian's, unpacked.
//!
//! Debian 12 has one that is too old, and the newer package wants a newer libc than the machine's. So that libc is unpacked
//! beside it, and where the machine's own will not do, the newer one's loader starts bindgen. libclang stays the machine's: what
//! was linked for an older libc runs with a newer one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::version_line;
use crate::apt::{self, LOADER, Request};
use crate::cache::{Cache, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::kernel::Recipe;
use crate::process;
use crate::version::Version;

const NAME: &str = "bindgen";
/// What it is called where people wait for it.
const WHAT: &str = "bindgen";
/// The packages, each without what it depends on: of libc nothing but libc itself is wanted, and libclang is there.
const PACKAGES: [&str; 2] = [NAME, "libc6"];
/// Where the package has it.
const NATIVE: &str = "usr/bin";
/// Where what starts it with the newer libc is.
const WRAPPED: &str = "bin";

/// The bindgen in `PATH` and its version.
pub(crate) fn installed() -> Option<(PathBuf, Version)> {
    let path = process::find_program(NAME)?;
    let version = version_of(&path)?;
    Some((path, version))
}

/// The folder of a bindgen that will do, and its version.
pub(super) fn ensure(cache: &Cache, leases: &mut Vec<Lease>) -> Result<(PathBuf, Version)> {
    let recipe = Recipe::load()?;
    let needed = recipe.tools.bindgen;
    if let Some((path, version)) = installed().filter(|(_, v)| *v >= needed) {
        return Ok((path.parent().map(Path::to_owned).unwrap_or_default(), version));
    }
    let suites = recipe.bindgen.suites;
    let key = Key::new(NAME)
        .with("suites", suites.join(" "))
        .with("packages", PACKAGES.join(" "))
        .with("script", script());
    let lease = cache
        .entry(super::TOOLS, &key)?
        .get_or_make(WHAT, |dir| unpack(cache, &suites, dir))
        .map_err(|error| missing(needed, error))?;
    let found = [NATIVE, WRAPPED]
        .map(|dir| lease.join(dir))
        .into_iter()
        .find_map(|dir| version_of(&dir.join(NAME)).map(|version| (dir, version)));
    leases.push(lease);
    match found {
        Some((dir, version)) if version >= needed => Ok((dir, version)),
        Some((_, version)) => {
            Err(unfit(needed, format!("Debian's is {version}, in {}", suites.join(" and "))))
        }
        None => Err(unfit(needed, "Debian's does not run here".to_owned())),
    }
}

fn version_of(program: &Path) -> Option<Version> {
    Version::find(&version_line(program)?)
}

fn unpack(cache: &Cache, suites: &[String], dir: &Path) -> Result<()> {
    let scratch = dir.join("packages");
    files::create_dir(&scratch)?;
    for deb in apt::fetch_into(cache, &Request::alone(suites, PACKAGES), &scratch, WHAT)? {
        deb.unpack(dir)?;
    }
    files::remove(&scratch)?;
    let wrapper = dir.join(WRAPPED).join(NAME);
    files::create_dir(&dir.join(WRAPPED))?;
    std::fs::write(&wrapper, script())
        .and_then(|()| std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)))
        .context(Kind::Lab, || format!("cannot write {}", wrapper.display()))
}

/// A program of that name, which is what the kernel's Makefile looks for. It may not name its place: the entry is made
/// elsewhere.
fn script() -> String {
    format!(
        "#!/bin/sh\n\
         tree=${{0%/*}}/..\n\
         exec \"$tree/{LOADER}\" --library-path \"$tree/usr/lib/x86_64-linux-gnu\" \"$tree/{NATIVE}/{NAME}\" \"$@\"\n"
    )
}

fn missing(needed: Version, cause: Error) -> Error {
    match cause.kind() {
        Kind::Need | Kind::Network | Kind::NotFound => {
            let kind = cause.kind();
            let message = format!("bindgen {needed} or newer is not installed and cannot be fetched");
            let network = if kind == Kind::Network { "check the network; or: " } else { "" };
            Error::new(kind, message).with_help(format!("{network}{}", help(needed))).with_source(cause)
        }
        _ => cause,
    }
}

fn unfit(needed: Version, why: String) -> Error {
    Error::new(Kind::Need, format!("there is no bindgen {needed} or newer: {why}")).with_help(help(needed))
}

/// How to have one in `PATH`.
pub(crate) fn help(needed: Version) -> String {
    format!("cargo install --locked bindgen-cli (any version from {needed} on will do, where PATH finds it)")
}
