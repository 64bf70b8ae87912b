// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that others keep in cargo's registry, built into a folder of the cache: bindgen, which the kernel's build needs,
//! and servers that the bench compares with.

use std::path::Path;

use rustix::process::Signal;

use super::rustc::Rustc;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::process::{self, Command, Failure};
use crate::progress::Job;
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
    /// Whether it runs in a guest: then it is linked statically, so that any root file system will do.
    pub(crate) for_guest: bool,
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
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir("/")
            .death_signal(Signal::TERM)
            .failure_kind(Kind::Build);
        let command = if self.for_guest {
            command
                .args(["--target", super::TARGET])
                .env("RUSTFLAGS", super::STATIC)
                .env_remove("CARGO_BUILD_TARGET")
        } else {
            command.env_remove("RUSTFLAGS")
        };
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
        let network = "cargo fetches it from its registry: check the network";
        error.with_help(match self.for_guest {
            true => network.into(),
            false => format!("{network}; or install {title} {version} yourself, where PATH finds it"),
        })
    }
}
