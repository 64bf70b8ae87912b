// SPDX-License-Identifier: MIT OR Apache-2.0
//! One entry: found, or made exactly once.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::lock::{Hold, Lock};
use super::manifest;
use crate::error::{Context, Error, Kind, Result};
use crate::files::remove;
use crate::progress;

pub(super) const STAGING: &str = ".staging-";
pub(super) const LOCK: &str = ".lock";
pub(super) const MANIFEST: &str = ".manifest";

/// A place in the cache, whether something is there or not.
#[derive(Debug, Clone)]
pub struct Entry {
    dir: PathBuf,
    name: String,
}

/// A complete entry, kept from being removed or remade for as long as this value lives. Stands for its
/// folder.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    _lock: Lock,
}

/// Holds a workspace for its user alone.
#[derive(Debug)]
pub struct Guard {
    _lock: Lock,
}

impl Deref for Lease {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Lease {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Entry {
    pub(super) fn new(dir: PathBuf, name: String) -> Self {
        Self { dir, name }
    }

    /// Where its content is, or will be.
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// The entry if it is complete. Waits while somebody makes it; `what` as in "the kernel 7.3.4".
    pub fn get(&self, what: &str) -> Result<Option<Lease>> {
        let lock = Lock::take(&self.beside(LOCK), Hold::Shared, what)?;
        Ok(self.verified().is_ok().then(|| self.lease(lock)))
    }

    /// The entry, made by `make` if it is not there or not whole. `make` fills an empty folder that appears
    /// under the entry's name only when it is done; what fails leaves nothing.
    pub fn get_or_make(&self, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Lease> {
        self.get_or(what, |entry| {
            remove(&entry.path())?;
            let staging = entry.staging()?;
            make(staging.path())?;
            let what = || format!("cannot move the finished entry to {}", entry.path().display());
            std::fs::rename(staging.path(), entry.path()).context(Kind::Lab, what)?;
            // Its folder has moved: there is nothing to clean up any more.
            let _ = staging.keep();
            Ok(())
        })
    }

    /// As [`get_or_make`](Self::get_or_make), for what is long and can go on where it was stopped: `make` works
    /// in the final folder and finds there what an interrupted run left. This is for trees whose files name
    /// their own place, as a kernel's objects do; the manifest, written last, is what publishes it.
    pub fn get_or_resume(&self, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Lease> {
        self.get_or(what, |entry| {
            let path = entry.path();
            std::fs::create_dir_all(&path)
                .context(Kind::Lab, || format!("cannot make {}", path.display()))?;
            make(&path)
        })
    }

    /// As [`get_or_resume`](Self::get_or_resume), but `make` always runs: for what depends on files that may change under
    /// us.
    pub fn refresh(&self, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Lease> {
        let lock = Lock::take(&self.beside(LOCK), Hold::Alone, what)?;
        self.forget()?;
        drop(lock);
        self.get_or_resume(what, make)
    }

    pub(super) fn hold_alone(&self, what: &str) -> Result<Guard> {
        Ok(Guard { _lock: Lock::take(&self.beside(LOCK), Hold::Alone, what)? })
    }

    fn get_or(&self, what: &str, make: impl FnOnce(&Self) -> Result<()>) -> Result<Lease> {
        if let Some(lease) = self.get(what)? {
            return Ok(lease);
        }
        let lock = Lock::take(&self.beside(LOCK), Hold::Alone, what)?;
        // Somebody else may have made it while we waited.
        if let Err(why) = self.verified() {
            if self.beside(MANIFEST).exists() {
                progress::note(format!("{what} in the cache is damaged and will be made again: {why}"));
            }
            self.forget()?;
            self.collect_staging()?;
            make(self)?;
            manifest::write(&self.beside(MANIFEST), &self.path())?;
        }
        let removed = |why: String| {
            Error::new(Kind::Lab, format!("{what} was removed from the cache as it was made: {why}"))
                .with_help("run the command again, and not together with one that cleans the cache")
        };
        let lock = lock.share(what)?.ok_or_else(|| removed("its lock is gone".into()))?;
        self.verified().map_err(removed).map(|()| self.lease(lock))
    }

    fn lease(&self, lock: Lock) -> Lease {
        Lease { path: self.path(), _lock: lock }
    }

    /// Whether it is whole; else what is wrong.
    fn verified(&self) -> std::result::Result<(), String> {
        manifest::verify(&self.beside(MANIFEST), &self.path())
    }

    /// Takes the manifest away, so that the entry does not count while it is made again.
    pub(super) fn forget(&self) -> Result<()> {
        remove(&self.beside(MANIFEST))
    }

    fn staging(&self) -> Result<tempfile::TempDir> {
        let staging = tempfile::Builder::new()
            .prefix(&format!("{STAGING}{}.", self.name))
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(&self.dir);
        staging.context(Kind::Lab, || format!("cannot make a folder in {}", self.dir.display()))
    }

    /// Removes what a killed maker left, of this and every other entry of its kind that nobody makes now.
    fn collect_staging(&self) -> Result<()> {
        for (path, name) in staging_in(&self.dir)? {
            let other = Self::new(self.dir.clone(), name);
            let lock = match other.name == self.name {
                true => None,
                false => Lock::try_take(&other.beside(LOCK), Hold::Alone)?,
            };
            if lock.is_some() || other.name == self.name {
                remove(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}{suffix}", self.name))
    }
}

/// The staging folders in `dir`, each with the name of its entry.
pub(super) fn staging_in(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    let what = || format!("cannot list {}", dir.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).context(Kind::Lab, what)? {
        let entry = entry.context(Kind::Lab, what)?;
        let file_name = entry.file_name();
        let name = file_name.to_str().and_then(|n| n.strip_prefix(STAGING)).and_then(|n| n.rsplit_once('.'));
        if let Some((name, _)) = name {
            found.push((entry.path(), name.to_owned()));
        }
    }
    Ok(found)
}
