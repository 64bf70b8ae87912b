// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest's folder, and the locks that say whose it is.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Info;
use crate::error::{Context, Error, Kind, Result};
use crate::files;

/// A lock that its holder's death releases.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting for it. Locks taken so are held for moments only.
    pub fn wait(path: &Path) -> Result<Self> {
        Self::open(path)?.lock(path, FlockOperation::LockExclusive)
    }

    /// Takes the lock unless somebody holds it.
    pub fn attempt(path: &Path) -> Result<Option<Self>> {
        let file = Self::open(path)?;
        match flock(&file._file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e).context(Kind::Lab, || format!("cannot lock {}", path.display())),
        }
    }

    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        Ok(Self { _file: file.context(Kind::Lab, || format!("cannot open {}", path.display()))? })
    }

    fn lock(self, path: &Path, how: FlockOperation) -> Result<Self> {
        loop {
            match flock(&self._file, how) {
                Ok(()) => return Ok(self),
                Err(rustix::io::Errno::INTR) => crate::interrupt::check()?,
                Err(e) => return Err(e).context(Kind::Lab, || format!("cannot lock {}", path.display())),
            }
        }
    }
}

/// Makes a folder that only this user can look into; one that is somebody else's is an error, because sockets in it
/// would be theirs to replace.
pub fn private_dir(path: &Path) -> Result<()> {
    let what = || format!("cannot make {}", path.display());
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e).context(Kind::Lab, what),
        _ => {}
    }
    let meta = path.symlink_metadata().context(Kind::Lab, what)?;
    let mine = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    if mine {
        return Ok(());
    }
    Err(Error::new(Kind::Lab, format!("{} is not a folder of this user's alone", path.display()))
        .with_help("remove it, or set XDG_RUNTIME_DIR to a folder of your own"))
}

/// The folder of a guest that this process owns; dropping it removes the folder.
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    name: String,
    _lock: Lock,
}

impl Claim {
    /// Makes the folder. The registry's lock is held, so that nobody takes it for an orphan before it is locked.
    pub(super) fn make(dir: PathBuf, name: String) -> Result<Self> {
        private_dir(&dir)?;
        let lock = Lock::wait(&dir.join("lock"))?;
        Ok(Self { dir, name, _lock: lock })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The guest's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells others of the guest: from now on `ps` lists it.
    pub fn publish(&self, info: &Info) -> Result<()> {
        info.write(&self.dir)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = files::remove(&self.dir) {
            tracing::warn!("{error}");
        }
    }
}
