// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where our own sources are: the lab builds drivers and guest programs from the tree that it was itself compiled
//! from.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::process::Command;

/// The root of the workspace: `BLOCKYARD_ROOT`, else where this crate was compiled.
pub fn root() -> Result<PathBuf> {
    let own = std::env::var_os("BLOCKYARD_ROOT").filter(|v| !v.is_empty()).map(PathBuf::from);
    let compiled = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = own.unwrap_or_else(compiled);
    if root.join("kernel/Kbuild").is_file() {
        // It exists, so it has a canonical path.
        return Ok(root.canonicalize().unwrap_or(root));
    }
    let message =
        format!("{} does not hold Blockyard's sources, which drivers are built from", root.display());
    Err(Error::new(Kind::NotFound, message)
        .with_help("run the command in the clone that built it, or set BLOCKYARD_ROOT to one"))
}

/// The folder of the kernel side: drivers and kit.
pub fn kernel_side() -> Result<PathBuf> {
    Ok(root()?.join("kernel"))
}

/// Makes `copy` a copy of the kernel side with one driver more, whose crate root is `source`: for
/// [`modules::Build::sources`](crate::modules::Build::sources). In the same place again, with the same sources, nothing is
/// built again: files keep their times.
pub fn kernel_side_with(driver: &str, source: &Path, copy: &Path) -> Result<()> {
    files::remove(copy)?;
    // Without links: they lead out of the copy.
    Command::new("cp").arg("-rLp").arg(kernel_side()?).arg(copy).run()?;
    let folder = copy.join("drivers").join(driver);
    files::create_dir(&folder)?;
    Command::new("cp").arg("-p").arg(source).arg(folder.join(format!("{driver}.rs"))).run().map(drop)
}
