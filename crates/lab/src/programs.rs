// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs that run in the guest: the agent, `simctl`, `chrctl` and what tests bring, linked statically so that any root file system will do.
//!
//! They are built from this workspace by cargo, when a guest is first needed, also by a test that uses the lab as a
//! library. The result is cached by the sources; cargo's own folder is kept beside it, so that a change costs seconds.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::cache::{Cache, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::process::{Command, Failure};
use crate::progress::Job;
use crate::toolchain::Rustc;
use crate::{files, workspace};

/// Packages and their programs.
const PROGRAMS: [(&str, &str); 6] = [
    ("blockyard-agent", "blockyard-agent"),
    ("blockyard-client", "chrctl"),
    ("blockyard-client", "chrtest"),
    ("blockyard-client", "simctl"),
    ("blockyard-client", "simtorture"),
    ("blockyard-gauge", "gauge"),
];
/// What they are built from, below the workspace's root.
const SOURCES: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates/abi",
    "crates/agent",
    "crates/client",
    "crates/gauge",
    "crates/proto",
];
/// Given explicitly, so that cargo's RUSTFLAGS do not reach build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs, kept in the cache for as long as this value lives.
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

/// The programs, from the user's cache or else built now.
pub fn ensure() -> Result<Programs> {
    let cache = Cache::open()?;
    let (root, rustc) = (workspace::root()?, Rustc::find()?);
    // Which programs, too: an entry from before one was added lacks it, and is whole all the same.
    let names = PROGRAMS.map(|(_, program)| program).join(" ");
    let mut key = Key::new("guest").with("rustc", rustc.version_text()).with("programs", names);
    for source in SOURCES {
        key = with_all(key, &root, &root.join(source))?;
    }
    let what = "the guest's programs";
    let dir = cache.entry("programs", &key)?.get_or_make(what, |dir| build(&cache, &root, dir))?;
    Ok(Programs { dir })
}

/// Adds a file, or every file in a folder, to the key; what is not there adds nothing.
fn with_all(key: Key, root: &Path, path: &Path) -> Result<Key> {
    if path.is_dir() {
        return files::children(path)?.iter().try_fold(key, |key, child| with_all(key, root, child));
    }
    if !path.is_file() {
        return Ok(key);
    }
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    key.with_file(&name, path)
}

fn build(cache: &Cache, root: &Path, dir: &Path) -> Result<()> {
    // One for each workspace: to cargo the packages of two are the same, and what is older than the other's build is fresh.
    let key = Key::new("guest").with("workspace", root.as_os_str().as_encoded_bytes());
    let (target_dir, _guard) = cache.workspace("cargo", &key, "cargo's folder for the guest's programs")?;
    let job = Job::begin("building the guest's programs");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .current_dir(root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .death_signal(Signal::TERM)
        .failure_kind(Kind::Build);
    for (package, program) in PROGRAMS {
        cargo = cargo.args(["--package", package, "--bin", program]);
    }
    let compiling = |line: &str| line.trim_start().strip_prefix("Compiling ").map(str::to_owned);
    cargo
        .on_line(|_, line| {
            if let Some(name) = compiling(line) {
                job.detail(&name)
            }
        })
        .run()
        .map_err(explain)?;
    for (_, program) in PROGRAMS {
        let built = target_dir.join(TARGET).join("release").join(program);
        let what = || format!("cargo made no {}", built.display());
        std::fs::copy(&built, dir.join(program)).context(Kind::Build, what)?;
    }
    job.done();
    Ok(())
}

fn explain(error: Error) -> Error {
    if error.kind() != Kind::Build {
        return error;
    }
    let failure = std::error::Error::source(&error)
        .and_then(|s| s.downcast_ref::<Failure>())
        .map(|f| Failure { status: f.status, tail: f.tail.clone() });
    let error = Error::new(Kind::Build, "the guest's programs (the agent, simctl and others) did not build");
    match failure {
        Some(failure) => error.with_source(failure),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_counts_and_one_changed_byte_is_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("crates/abi/src")).unwrap();
        let key = || with_all(Key::new("k"), root, root).unwrap().name();
        std::fs::write(root.join("crates/abi/src/lib.rs"), "one").unwrap();
        let before = key();
        assert_eq!(before, key());
        std::fs::write(root.join("crates/abi/src/lib.rs"), "two").unwrap();
        assert_ne!(before, key());
    }

    #[test]
    fn the_sources_are_there() {
        let root = workspace::root().unwrap();
        assert!(SOURCES.iter().filter(|s| root.join(s).exists()).count() == SOURCES.len());
    }
}
