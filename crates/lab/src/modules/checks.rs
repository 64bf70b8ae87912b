// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether modules in Rust can be built against a kernel at all; else the piece that is missing.
//!
//! Each of these fails in the middle of a build otherwise, with a message that names a symptom: an undefined
//! make variable, a crate "compiled by an incompatible version of rustc", a file that no rule makes.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::toolchain::Toolchain;

/// What the build needs to know of the kernel's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Config {
    /// Whether it was built with clang, which its modules then are too.
    pub(super) clang: bool,
}

/// What Rust modules compile against, besides headers.
const METADATA: [&str; 4] =
    ["rust/libcore.rmeta", "rust/libkernel.rmeta", "rust/libbindings.rmeta", "rust/libmacros.so"];

/// Looks at the kernel's build folder.
pub(super) fn check(kdir: &Path, toolchain: &Toolchain) -> Result<Config> {
    check_for(kdir, toolchain.rustc_version_text())
}

fn check_for(kdir: &Path, rustc: &str) -> Result<Config> {
    let auto_conf = kdir.join("include/config/auto.conf");
    if !auto_conf.is_file() {
        let message =
            format!("{} is no kernel's build folder: it has no include/config/auto.conf", kdir.display());
        return Err(Error::new(Kind::Usage, message)
            .with_help("name the folder that the kernel was built in, or leave --kdir out: the lab builds a kernel of its own"));
    }
    let config = files::read(&auto_conf)?;
    let option = |name: &str| config.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    for (name, without) in [("CONFIG_MODULES", "loads no modules"), ("CONFIG_RUST", "was built without Rust")]
    {
        if option(name) != Some("y") {
            let message = format!("the kernel in {} {without}: {name} is not set", kdir.display());
            return Err(Error::new(Kind::Config, message).with_help(format!(
                "build it with {name}=y, or leave --kdir out: the lab builds a kernel of its own"
            )));
        }
    }
    same_compiler(kdir, option("CONFIG_RUSTC_VERSION_TEXT").unwrap_or_default().trim_matches('"'), rustc)?;
    built(kdir)?;
    Ok(Config { clang: option("CONFIG_CC_IS_CLANG") == Some("y") })
}

/// A crate's metadata is readable by the very compiler that wrote it alone.
fn same_compiler(kdir: &Path, theirs: &str, ours: &str) -> Result<()> {
    if theirs == ours {
        return Ok(());
    }
    let message = format!(
        "the kernel in {} was built by `{theirs}`, and the compiler here is `{ours}`",
        kdir.display()
    );
    Err(Error::new(Kind::Need, message).with_help(
        "use that compiler (with rustup: rustup default VERSION), or build the kernel again with this one",
    ))
}

fn built(kdir: &Path) -> Result<()> {
    let missing = |file: &&str| !kdir.join(file).exists();
    if let Some(file) = METADATA.iter().find(|f| missing(f)) {
        let message = format!("the kernel in {} has no Rust metadata: {file} is missing", kdir.display());
        return Err(Error::new(Kind::NotFound, message)
            .with_help("packages of kernel headers do not have it: name the folder of a whole build, or leave --kdir out"));
    }
    if let Some(file) = ["Module.symvers", "scripts/mod/modpost", "Makefile"].iter().find(|f| missing(f)) {
        let message = format!("the kernel in {} is not built to its end: {file} is missing", kdir.display());
        return Err(Error::new(Kind::NotFound, message).with_help(format!("make -C {}", kdir.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSTC: &str = "rustc 1.95.0 (59807616e 2026-04-14)";

    fn kdir(config: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let files = METADATA.iter().chain(&[
            "Module.symvers",
            "scripts/mod/modpost",
            "Makefile",
            "include/config/auto.conf",
        ]);
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, config).unwrap();
        }
        dir
    }

    fn good() -> String {
        format!("CONFIG_MODULES=y\nCONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"{RUSTC}\"\n")
    }

    fn error(dir: &tempfile::TempDir) -> Error {
        let error = check_for(dir.path(), RUSTC).unwrap_err();
        assert!(error.help().is_some());
        error
    }

    #[test]
    fn a_whole_kernel_passes() {
        assert_eq!(check_for(kdir(&good()).path(), RUSTC).unwrap(), Config { clang: false });
        let clang = good() + "CONFIG_CC_IS_CLANG=y\n";
        assert_eq!(check_for(kdir(&clang).path(), RUSTC).unwrap(), Config { clang: true });
    }

    #[test]
    fn each_missing_piece_is_named() {
        let without_rust = kdir("CONFIG_MODULES=y\nCONFIG_RUST_IS_AVAILABLE=y\n");
        assert!(error(&without_rust).to_string().contains("CONFIG_RUST is not set"));
        let other = kdir(&good().replace("1.95.0", "1.94.1"));
        assert!(error(&other).to_string().contains("rustc 1.94.1"));
        for file in ["rust/libkernel.rmeta", "Module.symvers", "include/config/auto.conf"] {
            let cut = kdir(&good());
            std::fs::remove_file(cut.path().join(file)).unwrap();
            assert!(error(&cut).to_string().contains(file));
        }
    }
}
