// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was fetched and built, kept by the hash of what went in.
//!
//! A kernel takes minutes and a root file system hundreds of downloads, so both are made once. Two commands
//! may run at the same time, any of them may be interrupted at any point, and the disk may fill up: a later
//! run must never trust a half-made thing. So:
//!
//! - an entry's name holds a hash of everything that determines its content ([`Key`]);
//! - one lock (`flock`, so that it dies with its holder) guards each entry: makers hold it alone, users share it
//!   for as long as they hold the [`Lease`];
//! - an entry counts only with its manifest, which is written last and renamed into place, and names every
//!   file with its size: one that was cut in half later is found out and made again.
//!
//! On disk, below the root (`BLOCKYARD_CACHE`, else `XDG_CACHE_HOME/blockyard`, else `~/.cache/blockyard`):
//! `KIND/NAME/` the content, `KIND/NAME.manifest`, `KIND/NAME.lock`, and `KIND/.staging-NAME.*` while it is made.

mod clean;
mod entry;
mod lock;
mod manifest;

use std::path::{Path, PathBuf};

pub use self::clean::{Cleaned, Usage};
pub use self::entry::{Entry, Guard, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::files;

/// The folder that holds what was made before.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's cache; the folder is made if it is not there.
    pub fn open() -> Result<Self> {
        Self::at(root_from(|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))?)
    }

    /// A cache in this folder, which is made if it is not there.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)
            .context(Kind::Lab, || format!("cannot make the cache folder {}", root.display()))
            .map_err(|e| e.with_help("set BLOCKYARD_CACHE to a folder that you may write to"))?;
        let root = root.canonicalize().context(Kind::Lab, || format!("cannot reach {}", root.display()))?;
        Ok(Self { root })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry of this kind ("kernel", "rootfs") and key, made or not.
    pub fn entry(&self, kind: &str, key: &Key) -> Result<Entry> {
        let dir = self.root.join(kind);
        std::fs::create_dir_all(&dir).context(Kind::Lab, || format!("cannot make {}", dir.display()))?;
        Ok(Entry::new(dir, key.name()))
    }

    /// A folder of this kind and key that is worked in again and again (a build, apt's state), for one user at a
    /// time: others wait until the [`Guard`] is dropped. It has no manifest: whoever uses it must be able to go on
    /// from any state that an interrupt leaves.
    ///
    /// It is for the paths `reasons` (a checkout, a kernel's build folder). Once one of them is gone, it goes when the next
    /// workspace of its kind is made.
    pub fn workspace(
        &self,
        kind: &str,
        key: &Key,
        reasons: &[&Path],
        what: &str,
    ) -> Result<(PathBuf, Guard)> {
        let entry = self.entry(kind, key)?;
        let guard = entry.hold_alone(what)?;
        let path = entry.path();
        if !path.exists() {
            self.clean_forsaken(kind)?;
            files::create_dir(&path)?;
        }
        clean::note_reasons(&path, reasons)?;
        Ok((path, guard))
    }

    /// An error of [`Kind::NoSpace`] unless `bytes` are free where the cache is; `what` needs them.
    pub fn need_space(&self, bytes: u64, what: &str) -> Result<()> {
        let free = free_space(&self.root)?;
        if free >= bytes {
            return Ok(());
        }
        let mib = |b: u64| b >> 20;
        let message = format!(
            "{what} needs {} MiB, and {} has {} MiB free",
            mib(bytes),
            self.root.display(),
            mib(free)
        );
        Err(Error::new(Kind::NoSpace, message).with_help(
            "make room (`blockyard kernel clean` removes built kernels), or set BLOCKYARD_CACHE to a folder on another disk",
        ))
    }
}

/// Bytes that we may still write on the file system of `path`.
fn free_space(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path)
        .context(Kind::Lab, || format!("cannot ask how full {} is", path.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// `var` reads an environment variable. As the XDG specification asks, a relative path there is ignored.
fn root_from(var: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(own) = var("BLOCKYARD_CACHE") {
        return std::path::absolute(&own).context(Kind::Usage, || "BLOCKYARD_CACHE is not a path");
    }
    let xdg = var("XDG_CACHE_HOME").filter(|p| p.is_absolute());
    let base = xdg.or_else(|| var("HOME").filter(|p| p.is_absolute()).map(|home| home.join(".cache")));
    base.map(|b| b.join("blockyard")).ok_or_else(|| {
        Error::new(Kind::Usage, "there is no place for the cache: neither HOME nor XDG_CACHE_HOME is set")
            .with_help("set BLOCKYARD_CACHE to a folder that you may write to")
    })
}

/// What determines an entry's content: a label for people, and everything else as a hash.
#[derive(Debug, Clone)]
pub struct Key {
    label: String,
    hasher: blake3::Hasher,
}

impl Key {
    /// A key whose entry's name begins with `label` (letters, digits, dots, dashes; anything else becomes a dash).
    pub fn new(label: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".+_".contains(c) { c } else { '-' };
        let label = label.chars().map(plain).collect::<String>();
        // No leading dot: it would be taken for a staging folder.
        Self { label: label.trim_start_matches('.').to_owned(), hasher: blake3::Hasher::new() }
    }

    /// Adds one thing that the content depends on. Name and value are hashed with their lengths, so no two
    /// lists of additions collide.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        self
    }

    /// Adds the content of a file.
    pub fn with_file(self, name: &str, path: &Path) -> Result<Self> {
        let content =
            std::fs::read(path).context(Kind::NotFound, || format!("cannot read {}", path.display()))?;
        Ok(self.with(name, content))
    }

    /// Adds the content of every file in a folder, or of one file; of what is not there, nothing.
    pub fn with_tree(self, path: &Path) -> Result<Self> {
        self.with_all(path, path)
    }

    fn with_all(self, root: &Path, path: &Path) -> Result<Self> {
        if path.is_dir() {
            return files::children(path)?.iter().try_fold(self, |key, child| key.with_all(root, child));
        }
        if !path.is_file() {
            return Ok(self);
        }
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        self.with_file(&name, path)
    }

    /// The label and 16 hexadecimal digits of the hash.
    pub fn name(&self) -> String {
        format!("{}-{}", self.label, &self.hasher.finalize().to_hex()[..16])
    }
}

#[cfg(test)]
mod tests;
