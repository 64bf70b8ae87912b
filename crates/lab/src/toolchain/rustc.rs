// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Rust compiler that kernels and modules are made with: the one in `PATH`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::process::{self, Command};
use crate::version::Version;

const HELP: &str = "install Rust with rustup (its site is rustup.rs), then run the same command again";

/// A rustc and where its parts are.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    version_text: String,
    version: Version,
    sysroot: PathBuf,
}

impl Rustc {
    /// The rustc in `PATH` (rustup's proxy included), past the override that cargo sets for its children. It is asked once in
    /// each process: through the proxy that takes a tenth of a second.
    pub(crate) fn find() -> Result<Self> {
        static FOUND: Mutex<Option<Rustc>> = Mutex::new(None);
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        match &*found {
            Some(rustc) => Ok(rustc.clone()),
            None => Ok(found.insert(Self::ask()?).clone()),
        }
    }

    fn ask() -> Result<Self> {
        process::find_program("rustc").ok_or_else(|| {
            Error::new(Kind::Need, "there is no Rust compiler (rustc) in PATH").with_help(HELP)
        })?;
        let ask = |args: &[&str]| -> Result<String> {
            let out = Command::new("rustc")
                .args(args)
                .failure_kind(Kind::Need)
                .read()
                .map_err(|e| e.with_help(HELP))?;
            Ok(String::from_utf8_lossy(&out).trim().to_owned())
        };
        let version_text = ask(&["--version"])?;
        let version = Version::find(&version_text)
            .ok_or_else(|| Error::new(Kind::Need, format!("`rustc --version` printed `{version_text}`")))?;
        Ok(Self { version_text, version, sysroot: ask(&["--print", "sysroot"])?.into() })
    }

    /// What `rustc --version` prints.
    pub(crate) fn version_text(&self) -> &str {
        &self.version_text
    }

    /// Its version.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Where its libraries are, and its sources if they were installed.
    pub(crate) fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// The real compiler's folder. Named in `PATH` it spares each of the build's hundred calls rustup's
    /// proxy, and pins the toolchain whatever folder `make` is in.
    pub(crate) fn bin_dir(&self) -> PathBuf {
        self.sysroot.join("bin")
    }
}
