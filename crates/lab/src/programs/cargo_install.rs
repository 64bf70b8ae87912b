// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs for a guest that others keep in cargo's registry, built into a folder of the cache: servers that the bench
//! compares with.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::process::{self, Command, Failure};
use crate::progress::Job;
use crate::toolchain::{self, Rustc, TARGET};
use crate::version::Version;

/// A package of the registry.
pub(crate) struct Package<'a> {
    /// Its name there.
    pub(crate) name: &'a str,
    /// Exactly this version, with the versions of its dependencies that it was published with.
    pub(crate) version: Version,
    /// What people call it.
    pub(crate) title: &'a str,
    /// What it is needed for, as it follows "which".
    pub(crate) purpose: &'a str,
    /// More of `cargo install`'s arguments.
    pub(crate) args: &'a [&'a str],
    /// Crates that cargo compiles for it, as counted: what the progress bar takes for its total.
    pub(crate) crates: u64,
}

impl Package<'_> {
    /// Builds it; its programs are in `dir`'s folder `bin` then.
    pub(crate) fn install(&self, dir: &Path, rustc: &Rustc) -> Result<()> {
        let mut job = Job::begin(format!("building {} {} with cargo", self.title, self.version));
        job.set_total(self.crates);
        let cargo = process::find_program("cargo").unwrap_or_else(|| rustc.bin_dir().join("cargo"));
        let command = Command::new(cargo)
            .args(["install", "--locked", "--version", &self.version.to_string(), "--root"])
            .arg(dir)
            .arg("--target-dir")
            .arg(dir.join("target"))
            .args(["--no-track", self.name])
            .args(self.args)
            .args(["--target", TARGET])
            .env("RUSTFLAGS", toolchain::STATIC)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .current_dir("/")
            .failure_kind(Kind::Build);
        command
            .on_line(|_, line| {
                if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
                    job.step();
                    job.detail(name);
                }
            })
            .run()
            .map_err(|error| self.explain(error))?;
        files::remove(&dir.join("target"))?;
        job.done();
        Ok(())
    }

    fn explain(&self, error: Error) -> Error {
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
        let Self { title, version, purpose, .. } = self;
        let message = format!("cannot build {title} {version}, which {purpose}");
        let kind = if offline { Kind::Network } else { Kind::Build };
        let error = Error::new(kind, message).with_source(error);
        error.with_help("cargo fetches it from its registry: check the network")
    }
}
