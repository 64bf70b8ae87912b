// SPDX-License-Identifier: MIT OR Apache-2.0
//! bindgen: the machine's if it is new enough, else our own build of it.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::rustc::Rustc;
use super::version_line;
use crate::cache::{Cache, Key, Lease};
use crate::error::{Error, Kind, Result};
use crate::kernel::Recipe;
use crate::process::{self, Command, Failure};
use crate::progress::Job;
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
        .get_or_make(&format!("bindgen {version}"), |dir| install(dir, rustc, version))?;
    let bin = lease.join("bin");
    leases.push(lease);
    Ok((bin, version))
}

fn install(dir: &Path, rustc: &Rustc, version: Version) -> Result<()> {
    let mut job = Job::begin(format!("building bindgen {version} with cargo"));
    // One file of a few hundred is not worth a table of its own: cargo's crates, as counted.
    job.set_total(75);
    let cargo = process::find_program("cargo").unwrap_or_else(|| rustc.bin_dir().join("cargo"));
    Command::new(cargo)
        .args(["install", "--locked", "--version", &version.to_string(), "--root"])
        .arg(dir)
        .arg("--target-dir")
        .arg(dir.join("target"))
        .args(["--no-track", "bindgen-cli"])
        .env_remove("RUSTFLAGS")
        .current_dir("/")
        .death_signal(Signal::TERM)
        .failure_kind(Kind::Build)
        .on_line(|_, line| {
            if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
                job.step();
                job.detail(name);
            }
        })
        .run()
        .map_err(|e| explain(e, version))?;
    crate::files::remove(&dir.join("target"))?;
    job.done();
    Ok(())
}

fn explain(error: Error, version: Version) -> Error {
    // Ctrl-C, a full disk and a missing cargo explain themselves.
    if error.kind() != Kind::Build {
        return error;
    }
    let tail = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<Failure>());
    let network = [
        "Could not connect",
        "Couldn't connect",
        "Could not resolve",
        "failed to download",
        "spurious network",
        "network",
    ];
    let offline = tail.is_some_and(|f| f.tail.iter().any(|l| network.iter().any(|n| l.contains(n))));
    let message = format!("cannot build bindgen {version}, which makes the kernel's Rust bindings");
    let kind = if offline { Kind::Network } else { Kind::Build };
    Error::new(kind, message)
        .with_help(format!("cargo fetches it from its registry: check the network; or install bindgen {version} yourself, where PATH finds it"))
        .with_source(error)
}
