// SPDX-License-Identifier: MIT OR Apache-2.0
//! File operations whose errors name the file.

use std::path::{Path, PathBuf};

use crate::error::{Context, Kind, Result};

/// Makes a folder and those above it.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).context(Kind::Lab, || format!("cannot make {}", path.display()))
}

/// What is in a folder, in order of name.
pub(crate) fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("cannot list {}", dir.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).context(Kind::Lab, what)? {
        paths.push(entry.context(Kind::Lab, what)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).context(Kind::NotFound, || format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, content).context(Kind::Lab, || format!("cannot write {}", path.display()))
}

/// Gives a file or folder another name on the same file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    let what = || format!("cannot move {} to {}", from.display(), to.display());
    std::fs::rename(from, to).context(Kind::Lab, what)
}

/// Removes a file or a folder with all it holds, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let result = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).context(Kind::Lab, || format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
