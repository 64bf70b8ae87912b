// SPDX-License-Identifier: MIT OR Apache-2.0
//! libclang, which bindgen loads when it runs: the newest that the machine has.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::kernel::Recipe;
use crate::version::Version;

/// The folder and version of the libclang to use, if there is any: `LIBCLANG_PATH`'s, else the newest below
/// `/usr/lib/llvm-*`, else the linker's own folder.
pub(crate) fn find() -> Option<(PathBuf, Version)> {
    if let Some(dir) = std::env::var_os("LIBCLANG_PATH").filter(|v| !v.is_empty()).map(PathBuf::from) {
        return version_in(&dir).map(|v| (dir, v));
    }
    let mut dirs: Vec<PathBuf> = crate::files::children(Path::new("/usr/lib")).unwrap_or_default();
    dirs.retain(|d| d.file_name().is_some_and(|n| n.to_string_lossy().starts_with("llvm-")));
    let mut dirs: Vec<PathBuf> = dirs.into_iter().map(|d| d.join("lib")).collect();
    dirs.extend(["/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/local/lib"].map(PathBuf::from));
    let found = dirs.into_iter().filter_map(|d| version_in(&d).map(|v| (d, v)));
    // Of equals the first: a folder of LLVM's own holds one version, the linker's folder may hold many, of which
    // bindgen would have to choose.
    found.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

pub(super) fn find_or_error() -> Result<(PathBuf, Version)> {
    let needed = Recipe::load()?.tools.libclang;
    let help = format!("apt-get install libclang-19-dev (any version from {} on will do)", needed.major);
    match find() {
        // A file's name often tells the major number alone.
        Some(found) if found.1.major >= needed.major => Ok(found),
        Some((dir, version)) => {
            let message =
                format!("libclang {version} in {} is too old for the kernel's bindings", dir.display());
            Err(Error::new(Kind::Need, message).with_help(help))
        }
        None => Err(Error::new(Kind::Need, "there is no libclang, which bindgen needs").with_help(help)),
    }
}

/// The version of the libclang in this folder, by the name of its file (`libclang-19.so.19`, `libclang.so.17.0.6`)
/// or of the one that a link leads to.
fn version_in(dir: &Path) -> Option<Version> {
    let names = crate::files::children(dir).ok()?;
    let libraries = names.into_iter().filter(|p| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libclang.so") || (name.starts_with("libclang-") && name.contains(".so"))
    });
    libraries.filter_map(|p| version_of(&p)).max()
}

fn version_of(library: &Path) -> Option<Version> {
    let real = library.canonicalize().ok()?;
    let name = real.file_name()?.to_string_lossy().into_owned();
    let tail = name.strip_prefix("libclang-").or_else(|| name.strip_prefix("libclang.so."))?;
    // `19.so.19`, `14.so.14.0.6`: the number after `.so.` tells more, unless it is the 1 of an old ABI.
    let version: Version = tail.parse().ok()?;
    let full: Option<Version> = tail.split_once(".so.").and_then(|(_, v)| v.parse().ok());
    Some(full.filter(|f| f.major == version.major).unwrap_or(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_files_name() {
        let dir = tempfile::tempdir().unwrap();
        let version = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            version_of(&path).map(|v| (v.major, v.minor))
        };
        assert_eq!(version("libclang-14.so.14.0.6"), Some((14, 0)));
        assert_eq!(version("libclang-19.so.19"), Some((19, 0)));
        assert_eq!(version("libclang-19.so.1"), Some((19, 0)));
        assert_eq!(version("libclang.so.17.0.6"), Some((17, 0)));
        assert_eq!(version("libclang.so"), None);
    }

    #[test]
    fn the_newest_of_a_folder_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(version_in(dir.path()), None);
        for name in ["libclang-16.so.16.0.6", "libclang-18.so.18.1.8", "libclang-cpp.so.19.1"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(version_in(dir.path()).map(|v| v.major), Some(18));
    }
}
