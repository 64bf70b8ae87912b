// SPDX-License-Identifier: MIT OR Apache-2.0
//! `flock` as the lab uses it: a lock that dies with its holder, waited for in a way that can be given up.
//!
//! A wait in `flock` itself is deaf: the handlers of [`interrupt`](crate::interrupt) restart it, and it knows nothing of
//! what else may end (a guest whose visitors wait for their turn). So a thread waits, and the caller looks around
//! meanwhile.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Context, Error, Kind, Result};

/// How often a wait looks around.
const TICK: Duration = Duration::from_millis(100);

/// Who may hold it at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Others may that share it, too.
    Shared,
    /// Nobody else may.
    Alone,
}

/// Takes the lock if nobody is in the way; tells whether it is held now.
pub(crate) fn attempt(file: &File, hold: Hold) -> std::io::Result<bool> {
    let how = match hold {
        Hold::Shared => FlockOperation::NonBlockingLockShared,
        Hold::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Waits for the lock, and asks `look` again and again whether to go on.
///
/// The thread's descriptor shares the lock with `file`: when we give up, it drops the last one, and with it the lock, as
/// soon as it gets it.
pub(crate) fn wait(file: &File, hold: Hold, mut look: impl FnMut() -> Result<()>) -> Result<()> {
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
            // Nobody listens any more to a wait that was given up.
            let _ = done.send(result);
        })
        .context(Kind::Lab, || "cannot start the thread that waits for a lock")?;
    loop {
        match outcome.recv_timeout(TICK) {
            Ok(result) => return result.context(Kind::Lab, || "flock failed"),
            Err(mpsc::RecvTimeoutError::Timeout) => look()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Lab, "the thread that waited for a lock has died"));
            }
        }
    }
}

/// Whether the file that was opened is still the one of that name.
pub(crate) fn is_at(file: &File, path: &Path) -> Result<bool> {
    let what = || format!("cannot look at the lock {}", path.display());
    let opened = file.metadata().context(Kind::Lab, what)?;
    match path.symlink_metadata() {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).context(Kind::Lab, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_given_up_ends_and_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (ours, theirs) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        assert!(attempt(&theirs, Hold::Alone).unwrap());
        let given_up = || Err(Error::new(Kind::Interrupted, "interrupted"));
        assert_eq!(wait(&ours, Hold::Alone, given_up).unwrap_err().kind(), Kind::Interrupted);
        drop((ours, theirs));
        wait(&File::create(&path).unwrap(), Hold::Alone, || Ok(())).unwrap();
    }
}
