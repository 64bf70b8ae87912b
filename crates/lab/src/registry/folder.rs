// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest's folder, and the locks that say whose it is.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Info;
use crate::error::{Context, Error, Kind, Result};
use crate::flock::{self, Hold};
use crate::{files, interrupt};

/// Name of a lock's file: the registry's own, held for moments, and that of each guest, which its owner holds.
pub const LOCK: &str = "lock";
/// Name of the lock for whose turn it is to visit a guest. It is there from the beginning: a visitor that made it could do
/// so while the folder is being removed.
pub const DOOR: &str = "visitor.lock";
/// How long the end of a guest waits for the registry.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock that its holder's death releases.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What came of trying to take a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Taken(Lock),
    /// Somebody holds it.
    Held,
    /// There is no such file: what it belonged to is gone.
    Gone,
}

impl Lock {
    /// Takes the lock, whose file is made if it is not there, and asks `look` whether to go on for as long as it waits.
    pub fn take(path: &Path, look: impl FnMut() -> Result<()>) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.context(Kind::Lab, || format!("cannot open {}", path.display()))?;
        if !attempt(&file, path)? {
            flock::wait(&file, Hold::Alone, look)?;
        }
        Ok(Self { _file: file })
    }

    /// Takes the lock unless somebody holds it. Makes no file.
    pub fn attempt(path: &Path) -> Result<Attempt> {
        let Some(file) = existing(path)? else { return Ok(Attempt::Gone) };
        Ok(if attempt(&file, path)? { Attempt::Taken(Self { _file: file }) } else { Attempt::Held })
    }

    /// Waits for the lock of a file that is there, and asks `look` meanwhile whether to go on. `None` if the file is not
    /// there, or was taken away during the wait. Makes no file.
    pub fn wait(path: &Path, look: impl FnMut() -> Result<()>) -> Result<Option<Self>> {
        let Some(file) = existing(path)? else { return Ok(None) };
        flock::wait(&file, Hold::Alone, look)?;
        Ok(flock::is_at(&file, path)?.then_some(Self { _file: file }))
    }
}

fn existing(path: &Path) -> Result<Option<File>> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).context(Kind::Lab, || format!("cannot open {}", path.display())),
    }
}

fn attempt(file: &File, path: &Path) -> Result<bool> {
    flock::attempt(file, Hold::Alone).context(Kind::Lab, || format!("cannot lock {}", path.display()))
}

/// Makes a folder that only this user can look into; one that is somebody else's is an error, because sockets in it
/// would be theirs to replace.
pub fn private_dir(path: &Path) -> Result<()> {
    let what = || format!("cannot make {}", path.display());
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e).context(Kind::Lab, what),
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
        files::write(&dir.join(DOOR), "")?;
        let lock = Lock::take(&dir.join(LOCK), interrupt::check)?;
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
    /// Under the registry's lock, so that nobody finds a folder that is half gone. Ctrl-C, which may be why the guest ends,
    /// does not end the wait for it, but whoever stands still with it in hand does not keep us for ever.
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        let look = || match Instant::now() < until {
            true => Ok(()),
            false => Err(Error::new(Kind::Timeout, "another blockyard holds the list of guests")),
        };
        let registry = self.dir.with_file_name(LOCK);
        let held = Lock::take(&registry, look);
        if let Err(error) = &held {
            tracing::warn!(
                "{} is removed without the lock {}: {error}",
                self.dir.display(),
                registry.display()
            );
        }
        if let Err(error) = files::remove(&self.dir) {
            tracing::warn!("{error}");
        }
    }
}
