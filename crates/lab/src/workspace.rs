// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where our own sources are: the lab builds drivers and guest programs from the tree that it was itself compiled
//! from.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

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
