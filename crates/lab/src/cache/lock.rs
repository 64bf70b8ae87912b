// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lock of one cache entry: a `flock` that dies with its holder, waited for in a way that Ctrl-C ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Context, Error, Kind, Result};
use crate::{interrupt, progress};

/// Who may hold it at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Other users may, a maker may not.
    Shared,
    /// Nobody else may.
    Alone,
}

/// A held lock; dropping it lets go. The file itself stays: removing it would let two holders lock two
/// different files of one name.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock if nobody is in the way.
    pub(super) fn try_take(path: &Path, hold: Hold) -> Result<Option<Self>> {
        let file = open(path)?;
        let how = match hold {
            Hold::Shared => FlockOperation::NonBlockingLockShared,
            Hold::Alone => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, how) {
            Ok(()) => Ok(Some(Self::held(file, hold))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e).context(Kind::Lab, || format!("cannot lock {}", path.display())),
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
        wait(&file, hold).map_err(|e| match e.kind() {
            Kind::Interrupted => e,
            _ => Error::new(Kind::Lab, format!("cannot lock {}", path.display())).with_source(e),
        })?;
        Ok(Self::held(file, hold))
    }

    /// Lets others use it too. Not atomic: somebody may hold it alone in between.
    pub(super) fn share(self, what: &str) -> Result<Self> {
        wait(&self.file, Hold::Shared).context(Kind::Lab, || format!("cannot share the lock of {what}"))?;
        Ok(self)
    }

    fn held(mut file: File, hold: Hold) -> Self {
        if hold == Hold::Alone {
            // Only for the message of those who wait; a lock without a number works as well.
            let number = std::process::id().to_string();
            let _ =
                file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(number.as_bytes()));
        }
        Self { file }
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

/// Blocks in a thread of its own, so that Ctrl-C can end the wait. The thread's descriptor shares the lock with
/// ours: when we give up, it drops the last one, and with it the lock, as soon as it gets it.
fn wait(file: &File, hold: Hold) -> Result<()> {
    let twin = file.try_clone().context(Kind::Lab, || "cannot duplicate the lock's descriptor")?;
    let how = if hold == Hold::Alone { FlockOperation::LockExclusive } else { FlockOperation::LockShared };
    let (done, outcome) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("blockyard-lock".into())
        .spawn(move || {
            let result = loop {
                match flock(&twin, how) {
                    Err(Errno::INTR) => {}
                    other => break other,
                }
            };
            drop(twin);
            // Nobody listens any more after Ctrl-C.
            let _ = done.send(result);
        })
        .context(Kind::Lab, || "cannot start the thread that waits for a lock")?;
    loop {
        match outcome.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => return result.context(Kind::Lab, || "flock failed"),
            Err(mpsc::RecvTimeoutError::Timeout) => interrupt::check()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Lab, "the thread that waited for a lock has died"));
            }
        }
    }
}
