// SPDX-License-Identifier: MIT OR Apache-2.0
//! rustfmt over the kernel side. kbuild's own targets for it do not exist for external modules.

use std::path::{Path, PathBuf};

use super::drivers_in;
use crate::error::{Error, Kind, Result};
use crate::process::{Command, find_program};
use crate::{files, progress, workspace};

/// An error of [`Kind::Build`] if a file of the kernel side is not formatted as its `.rustfmt.toml` says; the
/// differences go to standard error. `fix` formats them instead.
pub fn check_format(fix: bool) -> Result<()> {
    let source = workspace::kernel_side()?;
    find_program("rustfmt").ok_or_else(|| {
        Error::new(Kind::Need, "rustfmt is not installed").with_help("rustup component add rustfmt")
    })?;
    let command =
        Command::new("rustfmt").args(["--edition", "2021"]).args(if fix { &[][..] } else { &["--check"] });
    let out = command.args(roots(&source)?).current_dir(&source).output()?;
    if out.status.success() {
        return Ok(());
    }
    for line in String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).lines() {
        progress::show(line);
    }
    Err(Error::new(Kind::Build, "the kernel side is not formatted as rustfmt does it")
        .with_help("rustfmt --config-path kernel, on the files named above"))
}

/// The crate roots; rustfmt follows their `mod` lines.
fn roots(source: &Path) -> Result<Vec<PathBuf>> {
    let mut roots = vec![source.join("kit/kit.rs"), source.join("abi/lib.rs")];
    roots.extend(
        drivers_in(source)?.into_iter().map(|d| source.join("drivers").join(&d).join(format!("{d}.rs"))),
    );
    roots.retain(|r| r.is_file());
    match roots.is_empty() {
        true => Err(Error::new(Kind::NotFound, format!("{} holds no crate", source.display()))),
        false => Ok(roots),
    }
}

/// What is in the folder of a crate, for its project description.
pub(super) fn crate_root(source: &Path, parts: &[&str]) -> Option<PathBuf> {
    let path = parts.iter().fold(source.to_owned(), |p, part| p.join(part));
    files::read(&path).is_ok().then_some(path)
}
