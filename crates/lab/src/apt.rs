// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian packages without installing them: fetched with their dependencies, checked by apt, unpacked.
//!
//! One mechanism gives the kernel's source, rust-src, the guest's user space and a newer QEMU, none of which
//! may touch the machine: `apt-get` runs with a state folder of its own in the cache, where nothing
//! counts as installed, over the Debian mirror and keyring that the machine itself uses (see [`Origin`]). So it
//! needs no root, follows the machine's proxy settings, and checks signatures as ever. `dpkg-deb -x` unpacks,
//! and no maintainer script runs.
//!
//! What was fetched stays in the cache as it is: a later run neither asks the mirror nor gets other versions.

mod sources;
mod state;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::sources::Origin;
use self::state::State;
use crate::cache::{Cache, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::process::Command;
use crate::progress::Job;

/// The loader that goes with an unpacked libc6, below the folder of the packages: what was linked for a newer libc than the
/// machine's is started by it.
pub(crate) const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";

/// The packages to fetch, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Suites of the archive, as in `trixie` and `trixie-backports`.
    pub suites: Vec<String>,
    /// Names of packages; `NAME=VERSION` asks for one version, `NAME/SUITE` for a suite's.
    pub packages: Vec<String>,
    /// Whether to fetch all that they depend on too. Recommendations are never fetched.
    pub dependencies: bool,
    /// The suite whose packages go before those of the others, whatever their versions; else the newest goes first, and a
    /// suite of backports only gives what the others lack.
    pub prefer: Option<String>,
}

impl Request {
    /// These packages with all that they depend on.
    pub fn with_dependencies<S: Into<String>>(
        suites: &[String],
        packages: impl IntoIterator<Item = S>,
    ) -> Self {
        let packages = packages.into_iter().map(Into::into).collect();
        Self { suites: suites.to_vec(), packages, dependencies: true, prefer: None }
    }

    /// These packages alone.
    pub fn alone<S: Into<String>>(suites: &[String], packages: impl IntoIterator<Item = S>) -> Self {
        Self { dependencies: false, ..Self::with_dependencies(suites, packages) }
    }

    /// The same, with what this suite has before what the others have.
    #[must_use]
    pub fn preferring(self, suite: impl Into<String>) -> Self {
        Self { prefer: Some(suite.into()), ..self }
    }

    fn key(&self) -> Key {
        let label = self.packages.first().map_or("none", String::as_str);
        let label = label.split(['=', '/']).next().unwrap_or(label);
        let key = Key::new(label)
            .with("suites", self.suites.join(" "))
            .with("packages", self.packages.join(" "))
            .with("dependencies", [u8::from(self.dependencies)]);
        // What was fetched before there was a preference is found again.
        match &self.prefer {
            Some(suite) => key.with("prefer", suite),
            None => key,
        }
    }
}

/// One package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deb {
    /// The package's name.
    pub name: String,
    /// Its version, epoch included.
    pub version: String,
    /// Where the file is.
    pub path: PathBuf,
}

impl Deb {
    /// From a file that apt has named: `NAME_VERSION_ARCH.deb`, a colon written as `%3a`.
    fn from_path(path: PathBuf) -> Option<Self> {
        let mut parts = path.file_stem()?.to_str()?.split('_');
        let (name, version) = (parts.next()?.to_owned(), parts.next()?.replace("%3a", ":"));
        Some(Self { name, version, path })
    }

    /// Unpacks its files below `dir`.
    pub fn unpack(&self, dir: &Path) -> Result<()> {
        Command::new("dpkg-deb").arg("-x").arg(&self.path).arg(dir).run()
    }
}

/// Packages that are in the cache, kept there for as long as this value lives.
#[derive(Debug)]
pub struct Packages {
    debs: Vec<Deb>,
    _lease: Lease,
}

impl Packages {
    /// The packages of `request`, from the cache or else from the mirror; `what` as in "the guest's packages".
    pub fn fetch(cache: &Cache, request: &Request, what: &str) -> Result<Self> {
        let entry = cache.entry("packages", &request.key())?;
        let lease = entry.get_or_make(what, |dir| fetch_into(cache, request, dir, what).map(drop))?;
        Ok(Self { debs: debs_in(&lease)?, _lease: lease })
    }

    /// The package files, by name.
    pub fn debs(&self) -> &[Deb] {
        &self.debs
    }

    /// Names and versions, one a line: what a cache key of something made from them takes in.
    pub fn identity(&self) -> String {
        self.debs.iter().map(|d| format!("{}={}\n", d.name, d.version)).collect()
    }

    /// Unpacks all of them below `dir`, one over the other.
    pub fn unpack(&self, dir: &Path, what: &str) -> Result<()> {
        let mut job = Job::begin(format!("unpacking {what}"));
        job.set_total(self.debs.len() as u64);
        for deb in &self.debs {
            crate::interrupt::check()?;
            job.detail(&deb.name);
            deb.unpack(dir)?;
            job.step();
        }
        job.done();
        Ok(())
    }
}

/// Bytes that must be free for any fetch; the largest one takes 160 MiB.
const SPACE: u64 = 320 << 20;

/// Fetches the packages of `request` into `dir`, past the cache: for what keeps only a package's content.
pub fn fetch_into(cache: &Cache, request: &Request, dir: &Path, what: &str) -> Result<Vec<Deb>> {
    cache.need_space(SPACE, what)?;
    let state = State::open(cache, &request.suites)?;
    state.download(request, dir, what)?;
    let debs = debs_in(dir)?;
    if debs.is_empty() {
        let message = format!("apt fetched nothing for {}", request.packages.join(" "));
        return Err(Error::new(Kind::Network, message));
    }
    Ok(debs)
}

/// The versions of a package that the suites offer, newest first.
pub fn versions(cache: &Cache, suites: &[String], package: &str) -> Result<Vec<String>> {
    State::open(cache, suites)?.versions(package)
}

fn debs_in(dir: &Path) -> Result<Vec<Deb>> {
    let what = || format!("cannot list {}", dir.display());
    let mut debs = Vec::new();
    for entry in std::fs::read_dir(dir).context(Kind::Lab, what)? {
        let path = entry.context(Kind::Lab, what)?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            debs.extend(Deb::from_path(path));
        }
    }
    debs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(debs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_files_name_tells_name_and_version() {
        let deb = Deb::from_path("/x/libc-bin_1%3a2.41-12+deb13u1_amd64.deb".into()).unwrap();
        assert_eq!((deb.name.as_str(), deb.version.as_str()), ("libc-bin", "1:2.41-12+deb13u1"));
        assert_eq!(Deb::from_path("/x/odd.deb".into()), None);
    }

    #[test]
    fn requests_that_differ_have_keys_that_differ() {
        let suites = ["trixie".to_owned()];
        let one = Request::alone(&suites, ["a"]);
        assert_ne!(one.key().name(), Request::with_dependencies(&suites, ["a"]).key().name());
        assert_ne!(one.key().name(), Request::alone(&suites, ["a", "b"]).key().name());
        assert!(Request::alone(&suites, ["rust-src=1.95"]).key().name().starts_with("rust-src-"));
    }
}
