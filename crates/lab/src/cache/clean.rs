// SPDX-License-Identifier: MIT OR Apache-2.0
//! Giving space back.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Cache;
use super::entry::{Entry, LOCK, MANIFEST, STAGING, staging_in};
use super::lock::{Hold, Lock};
use crate::error::{Context, Kind, Result};
use crate::files::remove;

/// What was removed, and what was not because somebody uses it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// Bytes given back.
    pub bytes: u64,
    /// Names of the entries that were removed.
    pub removed: Vec<String>,
    /// Names of the entries that another blockyard uses, and that stay.
    pub in_use: Vec<String>,
}

/// What one kind of entry takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The kind, as in "kernel".
    pub kind: String,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Cache {
    /// Removes every entry of this kind that nobody uses.
    pub fn clean(&self, kind: &str) -> Result<Cleaned> {
        self.clean_those(kind, |_| true)
    }

    /// As [`clean`](Self::clean), of those whose [`Key`](super::Key) has this label.
    pub fn clean_of(&self, kind: &str, label: &str) -> Result<Cleaned> {
        self.clean_those(kind, |name| name.rsplit_once('-').is_some_and(|(of, _hash)| of == label))
    }

    fn clean_those(&self, kind: &str, one_of_them: impl Fn(&str) -> bool) -> Result<Cleaned> {
        let dir = self.root().join(kind);
        let mut cleaned = Cleaned::default();
        if !dir.exists() {
            return Ok(cleaned);
        }
        for name in names(&dir)?.into_iter().filter(|name| one_of_them(name)) {
            clean_one(&dir, &name, &mut cleaned)?;
        }
        for (path, name) in staging_in(&dir)?.into_iter().filter(|(_, name)| one_of_them(name)) {
            if let Some(_lock) = Lock::try_take(&Entry::new(dir.clone(), name).beside(LOCK), Hold::Alone)? {
                cleaned.bytes += size(&path)?;
                remove(&path)?;
            }
        }
        Ok(cleaned)
    }

    /// What each kind takes on disk.
    pub fn usage(&self) -> Result<Vec<Usage>> {
        let usage = |kind: String| Ok(Usage { bytes: size(&self.root().join(&kind))?, kind });
        self.kinds()?.into_iter().map(usage).collect()
    }

    /// The kinds of which there are entries, sorted.
    pub fn kinds(&self) -> Result<Vec<String>> {
        names(self.root())
    }
}

fn clean_one(dir: &Path, name: &str, cleaned: &mut Cleaned) -> Result<()> {
    let entry = Entry::new(dir.to_owned(), name.to_owned());
    let Some(_lock) = Lock::try_take(&entry.beside(LOCK), Hold::Alone)? else {
        cleaned.in_use.push(name.to_owned());
        return Ok(());
    };
    cleaned.bytes += size(&entry.path())? + size(&entry.beside(MANIFEST))?;
    // The manifest first: what is half removed must not count as complete.
    entry.forget()?;
    remove(&entry.path())?;
    cleaned.removed.push(name.to_owned());
    Ok(())
}

/// Names of the entries in `dir`: its folders that are no staging.
fn names(dir: &Path) -> Result<Vec<String>> {
    let what = || format!("cannot list {}", dir.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).context(Kind::Lab, what)? {
        let entry = entry.context(Kind::Lab, what)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with(STAGING) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Bytes on disk of a file or of all that is in a folder; 0 for what is not there.
fn size(path: &Path) -> Result<u64> {
    let what = || format!("cannot measure {}", path.display());
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e).context(Kind::Lab, what),
    };
    let own = meta.blocks() * 512;
    if !meta.is_dir() {
        return Ok(own);
    }
    let entries = std::fs::read_dir(path).context(Kind::Lab, what)?;
    entries.into_iter().try_fold(own, |sum, entry| Ok(sum + size(&entry.context(Kind::Lab, what)?.path())?))
}
