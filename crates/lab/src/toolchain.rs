// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel with Rust needs beside gcc and make, found or made.
//!
//! The kernel builds its own `core` from the sources of the very rustc that compiles it, makes its bindings with
//! bindgen, and that needs a recent libclang. Distributions have these late or not at all. So: rust-src from the
//! toolchain itself if rustup put it there, else from Debian's package of exactly that version; bindgen from the
//! machine if it is new enough, else Debian's newer one; libclang from the machine.
//!
//! The kernel's Makefile finds bindgen in `PATH` only (it overrides the variable `BINDGEN`), and takes
//! `RUST_LIB_SRC` and `LIBCLANG_PATH` from the environment: [`Toolchain::environment`].

mod bindgen;
mod libclang;
mod llvm;
mod rust_src;
mod rustc;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

pub(crate) use self::libclang::find as find_libclang;
pub(crate) use self::llvm::find as find_llvm;
pub(crate) use self::rustc::Rustc;
use crate::cache::{Cache, Lease};
use crate::error::{Context, Kind, Result};
use crate::process::Command;
use crate::version::Version;

pub(crate) use self::bindgen::{help as bindgen_help, installed as installed_bindgen};
pub(crate) use self::rust_src::in_sysroot as rust_src_in_sysroot;

/// The kinds of the cache's entries.
pub(crate) const RUST_SRC: &str = "rust-src";
pub(crate) const TOOLS: &str = "tools";

/// Given to cargo explicitly, so that RUSTFLAGS do not reach build scripts.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The RUSTFLAGS for what runs in a guest: linked statically, so that any root file system will do.
pub(crate) const STATIC: &str = "-C target-feature=+crt-static -C strip=symbols";

/// Everything that makes a Rust kernel and its modules, at hand for as long as this value lives.
#[derive(Debug)]
pub struct Toolchain {
    rustc: Rustc,
    rust_src: PathBuf,
    bindgen: (PathBuf, Version),
    libclang: (PathBuf, Version),
    _leases: Vec<Lease>,
}

impl Toolchain {
    /// Finds it, and fetches what may be fetched: rust-src and bindgen. Anything else that is
    /// missing is an error of [`Kind::Need`].
    pub fn ensure(cache: &Cache) -> Result<Self> {
        let rustc = Rustc::find()?;
        let libclang = libclang::find_or_error()?;
        let mut leases = Vec::new();
        let rust_src = rust_src::ensure(cache, &rustc, &mut leases)?;
        let bindgen = bindgen::ensure(cache, &mut leases)?;
        Ok(Self { rustc, rust_src, bindgen, libclang, _leases: leases })
    }

    /// What `rustc --version` prints, which the kernel keeps as `CONFIG_RUSTC_VERSION_TEXT`.
    pub fn rustc_version_text(&self) -> &str {
        self.rustc.version_text()
    }

    /// rustc's folder of libraries and sources.
    pub fn sysroot(&self) -> &Path {
        self.rustc.sysroot()
    }

    /// The sources of `core` and `alloc`, as `RUST_LIB_SRC` names them.
    pub fn rust_src(&self) -> &Path {
        &self.rust_src
    }

    /// What of it a build depends on, for a cache key.
    pub fn identity(&self) -> String {
        let Self { rustc, bindgen, libclang, .. } = self;
        format!("{}\nbindgen {}\nlibclang {}\n", rustc.version_text(), bindgen.1, libclang.1)
    }

    /// The variables that the kernel's Makefile reads. User and host are fixed, so that builds do not differ by
    /// who made them.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let mut path = vec![self.rustc.bin_dir(), self.bindgen.0.clone()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        path.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let path = std::env::join_paths(path).context(Kind::Lab, || "a folder in PATH holds a colon")?;
        Ok(vec![
            ("PATH", path),
            ("RUST_LIB_SRC", self.rust_src.clone().into()),
            ("LIBCLANG_PATH", self.libclang.0.clone().into()),
            ("KBUILD_BUILD_USER", "blockyard".into()),
            ("KBUILD_BUILD_HOST", "yard".into()),
        ])
    }

    /// A `make` with that environment. Variables of an outer make would change what it does; they are taken away.
    pub fn make<'a>(&self) -> Result<Command<'a>> {
        let command = Command::new("make").failure_kind(Kind::Build).death_signal(Signal::TERM);
        let command = [
            "MAKEFLAGS",
            "MFLAGS",
            "MAKELEVEL",
            "KBUILD_OUTPUT",
            "KCONFIG_CONFIG",
            "ARCH",
            "CROSS_COMPILE",
            "LLVM",
        ]
        .iter()
        .fold(command, |c, name| c.env_remove(name));
        // cargo's own variables, when a test runs us, would reach rustc.
        let command = ["RUSTFLAGS", "RUSTC_WRAPPER", "CARGO", "RUSTUP_TOOLCHAIN"]
            .iter()
            .fold(command, |c, n| c.env_remove(n));
        Ok(self.environment()?.into_iter().fold(command, |c, (name, value)| c.env(name, value)))
    }
}

/// The first line that `program --version` prints, if the program is there and says so.
pub(crate) fn version_line(program: &Path) -> Option<String> {
    let out = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    out.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}
