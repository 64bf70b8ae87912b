// SPDX-License-Identifier: MIT OR Apache-2.0
//! Building a set of this workspace's programs, and finding what was built before.

use std::path::Path;

use crate::cache::{Cache, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::process::{Command, Failure};
use crate::progress::Job;
use crate::toolchain::{Rustc, STATIC, TARGET};
use crate::workspace;

/// The kind of the cache's entries.
const KIND: &str = "programs";

/// Programs that are built together.
pub(super) struct Set {
    /// Names it in the cache.
    pub(super) label: &'static str,
    /// Names it to people.
    pub(super) what: &'static str,
    /// What is in it, for people.
    pub(super) includes: &'static str,
    /// Packages and their programs.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// What they are built from, below the workspace's root.
    pub(super) sources: &'static [&'static str],
}

impl Set {
    /// The folder that holds the programs, from the user's cache or else built now.
    pub(super) fn ensure(&self) -> Result<Lease> {
        let cache = Cache::open()?;
        let (root, rustc) = (workspace::root()?, Rustc::find()?);
        // Which programs, too: an entry from before one was added lacks it, and is whole all the same.
        let names = self.programs.iter().map(|(_, program)| *program).collect::<Vec<_>>().join(" ");
        let mut key = Key::new(self.label).with("rustc", rustc.version_text()).with("programs", names);
        for source in self.sources {
            key = key.with("source", source).with_tree(&root.join(source))?;
        }
        cache.entry(KIND, &key)?.get_or_make(self.what, |dir| {
            // What nobody holds any more; a build is when such programs come to be.
            cache.clean_of(KIND, self.label)?;
            self.build(&cache, &root, dir)
        })
    }

    fn build(&self, cache: &Cache, root: &Path, dir: &Path) -> Result<()> {
        // One for each workspace: to cargo the packages of two are the same, and what is older than the other's build is fresh.
        // The sets share it, as they share most of the crates that they stand on.
        let key = Key::new(KIND).with("workspace", root.as_os_str().as_encoded_bytes());
        let (target_dir, _guard) =
            cache.workspace("cargo", &key, &[root], "cargo's folder for our programs")?;
        let job = Job::begin(format!("building {}", self.what));
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
            .arg(&target_dir)
            .current_dir(root)
            .env("RUSTFLAGS", STATIC)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .failure_kind(Kind::Build);
        for (package, program) in self.programs {
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
            .map_err(|error| self.explain(error))?;
        for (_, program) in self.programs {
            let built = target_dir.join(TARGET).join("release").join(program);
            let what = || format!("cargo made no {}", built.display());
            std::fs::copy(&built, dir.join(program)).context(Kind::Build, what)?;
        }
        job.done();
        Ok(())
    }

    fn explain(&self, error: Error) -> Error {
        if error.kind() != Kind::Build {
            return error;
        }
        let failure = std::error::Error::source(&error)
            .and_then(|s| s.downcast_ref::<Failure>())
            .map(|f| Failure { status: f.status, tail: f.tail.clone() });
        let error = Error::new(Kind::Build, format!("{} ({}) did not build", self.what, self.includes));
        match failure {
            Some(failure) => error.with_source(failure),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::{DEVICE, GUEST};

    #[test]
    fn the_sources_are_there() {
        let root = workspace::root().unwrap();
        for source in GUEST.sources.iter().chain(DEVICE.sources) {
            assert!(root.join(source).exists(), "{source}");
        }
    }
}
