// SPDX-License-Identifier: MIT OR Apache-2.0
//! Giving space back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Cache;
use super::entry::{Entry, LOCK, MANIFEST, STAGING, staging_in};
use super::lock::{Hold, Lock};
use crate::error::{Context, Kind, Result};
use crate::files::{self, remove};

/// Where a workspace says what it is for: paths, with a NUL between two.
const REASONS: &str = ".blockyard-for";

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
            if let Some(lock) = Lock::try_take(&Entry::new(dir.clone(), name).beside(LOCK), Hold::Alone)? {
                cleaned.bytes += size(&path)?;
                remove(&path)?;
                lock.remove()?;
            }
        }
        // Somebody asked for it, and nothing came of it.
        for name in named_in(&dir, |file, _| file.strip_suffix(LOCK).map(str::to_owned))?
            .iter()
            .filter(|name| one_of_them(name))
        {
            let entry = Entry::new(dir.clone(), name.clone());
            if !entry.path().exists()
                && let Some(lock) = Lock::try_take(&entry.beside(LOCK), Hold::Alone)?
                && !entry.path().exists()
            {
                lock.remove()?;
            }
        }
        Ok(cleaned)
    }

    /// Removes the workspaces of this kind whose reason is gone ([`Cache::workspace`]) and that nobody uses.
    pub(super) fn clean_forsaken(&self, kind: &str) -> Result<()> {
        let dir = self.root().join(kind);
        self.clean_those(kind, |name| !reasons(&dir.join(name)).iter().all(|path| path.exists())).map(drop)
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
    let Some(lock) = Lock::try_take(&entry.beside(LOCK), Hold::Alone)? else {
        cleaned.in_use.push(name.to_owned());
        return Ok(());
    };
    cleaned.bytes += size(&entry.path())? + size(&entry.beside(MANIFEST))?;
    // The manifest first: what is half removed must not count as complete.
    entry.forget()?;
    remove(&entry.path())?;
    lock.remove()?;
    cleaned.removed.push(name.to_owned());
    Ok(())
}

/// Notes what a workspace is for, unless it was noted before: its key does not let that change.
pub(super) fn note_reasons(workspace: &Path, paths: &[&Path]) -> Result<()> {
    let note = workspace.join(REASONS);
    if paths.is_empty() || note.exists() {
        return Ok(());
    }
    let bytes: Vec<&[u8]> = paths.iter().map(|path| path.as_os_str().as_bytes()).collect();
    files::write(&note, bytes.join(&0))
}

/// What a workspace is for; nothing where it was not noted.
fn reasons(workspace: &Path) -> Vec<PathBuf> {
    let noted = std::fs::read(workspace.join(REASONS)).unwrap_or_default();
    let paths = noted.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect()
}

/// Names of the entries in `dir`: its folders that are no staging.
fn names(dir: &Path) -> Result<Vec<String>> {
    named_in(dir, |name, path| (path.is_dir() && !name.starts_with(STAGING)).then(|| name.to_owned()))
}

/// What `pick` makes of the names in `dir`, sorted.
fn named_in(dir: &Path, pick: impl Fn(&str, &Path) -> Option<String>) -> Result<Vec<String>> {
    let what = || format!("cannot list {}", dir.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).context(Kind::Lab, what)? {
        let entry = entry.context(Kind::Lab, what)?;
        names.extend(pick(&entry.file_name().to_string_lossy(), &entry.path()));
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
