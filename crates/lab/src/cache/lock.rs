// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lock of one cache entry: a [`flock`] whose file may be taken away, and says who holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};
pub(super) use crate::flock::Hold;
use crate::{files, flock, interrupt, progress};

/// A held lock; dropping it lets go. Only who holds it alone may take its file away ([`Lock::remove`]): whoever waited for
/// it finds that out and begins anew, or two would hold two different files of one name.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock if nobody is in the way.
    pub(super) fn try_take(path: &Path, hold: Hold) -> Result<Option<Self>> {
        loop {
            let file = open(path)?;
            if !flock::attempt(&file, hold)
                .context(Kind::Lab, || format!("cannot lock {}", path.display()))?
            {
                return Ok(None);
            }
            if flock::is_at(&file, path)? {
                return Ok(Some(Self::held(file, path, hold)));
            }
        }
    }

    /// Takes the lock, and says for what it waits if it must: `what` as in "the kernel 7.3.4".
    pub(super) fn take(path: &Path, hold: Hold, what: &str) -> Result<Self> {
        if let Some(lock) = Self::try_take(path, hold)? {
            return Ok(lock);
        }
        let file = open(path)?;
        progress::note(match holder(&file) {
            Some(pid) => format!("waiting for another blockyard (process {pid}) that has {what} in hand"),
            None => format!("waiting for another blockyard that has {what} in hand"),
        });
        Self::wait_for(file, path, hold, what)
    }

    fn wait_for(file: File, path: &Path, hold: Hold, what: &str) -> Result<Self> {
        flock::wait(&file, hold, interrupt::check).map_err(|e| match e.kind() {
            Kind::Interrupted => e,
            _ => Error::new(Kind::Lab, format!("cannot lock {}", path.display())).with_source(e),
        })?;
        if flock::is_at(&file, path)? {
            return Ok(Self::held(file, path, hold));
        }
        Self::take(path, hold, what)
    }

    /// Lets others use it too; nothing if somebody held it alone in between and took the file away.
    pub(super) fn share(self, what: &str) -> Result<Option<Self>> {
        flock::wait(&self.file, Hold::Shared, interrupt::check)
            .context(Kind::Lab, || format!("cannot share the lock of {what}"))?;
        Ok(flock::is_at(&self.file, &self.path)?.then_some(self))
    }

    /// Lets go of a lock that is held alone, and takes its file away.
    pub(super) fn remove(self) -> Result<()> {
        files::remove(&self.path)
    }

    fn held(mut file: File, path: &Path, hold: Hold) -> Self {
        if hold == Hold::Alone {
            // Only for the message of those who wait; a lock without a number works as well.
            let number = std::process::id().to_string();
            let _ =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(number.as_bytes()));
        }
        Self { file, path: path.to_owned() }
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).context(Kind::Lab, || format!("cannot open the lock {}", path.display()))
}

fn holder(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_for_a_file_that_was_taken_away_holds_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path, Hold::Alone, "it").unwrap();
        let opened = open(&path).unwrap();
        first.remove().unwrap();
        let _second = Lock::wait_for(opened, &path, Hold::Alone, "it").unwrap();
        assert!(Lock::try_take(&path, Hold::Shared).unwrap().is_none());
    }

    #[test]
    fn a_lock_whose_file_was_taken_away_is_not_shared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path, Hold::Alone, "it").unwrap();
        assert!(
            Lock::take(&dir.path().join("other"), Hold::Alone, "it").unwrap().share("it").unwrap().is_some()
        );
        std::fs::remove_file(&path).unwrap();
        assert!(lock.share("it").unwrap().is_none());
    }
}
