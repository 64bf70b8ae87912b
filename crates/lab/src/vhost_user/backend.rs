// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process behind a device: started, awaited, killed and started again, and what it died of.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Plan;
use crate::error::{Context, Error, Kind, Result};
use crate::process::{Child, how};
use crate::{files, interrupt};

/// How long a backend may take until it listens.
const LISTENS: Duration = Duration::from_secs(20);
/// How long it may take to say what it has counted.
const ANSWERS: Duration = Duration::from_secs(20);
/// Lines of the log that an error shows.
const TAIL: usize = 20;
/// The longest path that a unix socket can have, in bytes.
const MAX_PATH: usize = 107;
/// In the fourth column of /proc/net/unix: it accepts connections (`__SO_ACCEPTCON` in `linux/net.h`).
const LISTENING: u32 = 1 << 16;

/// A device's program, while a guest has the device. It ends with this value.
#[derive(Debug)]
pub(crate) struct Backend {
    name: String,
    plan: Plan,
    socket: PathBuf,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Runs(Child),
    /// We have ended it.
    Stopped,
    /// It has ended by itself.
    Ended(ExitStatus),
}

impl Backend {
    /// Starts it, and waits until it listens. Its socket and its log are in `folder`.
    pub(crate) fn start(name: &str, plan: Plan, folder: &Path) -> Result<Self> {
        let socket = socket(name, folder)?;
        let log = folder.join(format!("{name}.log"));
        let backend = Self { name: name.to_owned(), plan, socket, log, state: Mutex::new(State::Stopped) };
        backend.start_again()?;
        Ok(backend)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &*self.lock() {
            State::Runs(child) => Some(child.id()),
            _ => None,
        }
    }

    /// Ends it with SIGKILL, on purpose: nobody takes that for a failure.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut state = self.lock();
        if let State::Runs(child) = &mut *state {
            child.end_now()?;
        }
        *state = State::Stopped;
        Ok(())
    }

    /// Ends it in good order.
    pub(crate) fn end(&self) -> Result<()> {
        let mut state = self.lock();
        if let State::Runs(child) = &mut *state {
            child.end()?;
        }
        *state = State::Stopped;
        Ok(())
    }

    /// Starts it, in place of the one before, and waits until it listens. The log goes on.
    pub(crate) fn start_again(&self) -> Result<()> {
        self.kill()?;
        // A killed one has left it.
        files::remove(&self.socket)?;
        let what = || format!("cannot write {}", self.log.display());
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log);
        let log: File = log.context(Kind::Lab, what)?;
        let stderr = log.try_clone().context(Kind::Lab, what)?;
        let mut command = self.plan.command(&self.socket);
        tracing::debug!("{}", command.line());
        let child = command.spawn_with(log.into(), stderr.into())?;
        *self.lock() = State::Runs(child);
        self.await_listening()
    }

    /// What ours has counted: asked by a signal, and told on a line of its log.
    pub(crate) fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let before = files::read(&self.log)?.len();
        match &*self.lock() {
            State::Runs(child) if self.plan.is_ours() => child.signal(Signal::USR1)?,
            _ => return Err(Error::new(Kind::Usage, format!("nothing counts for the device {}", self.name))),
        }
        let deadline = Instant::now() + ANSWERS;
        loop {
            let log = files::read(&self.log)?;
            let new = log.get(before..).unwrap_or_default();
            // A line that is not whole is no JSON.
            if let Some(counters) = new.lines().find_map(|line| serde_json::from_str(line).ok()) {
                return Ok(counters);
            }
            interrupt::check()?;
            self.check()?;
            if Instant::now() > deadline {
                let message = format!("the backend of {} does not say what it has counted", self.name);
                return Err(Error::new(Kind::Timeout, message));
            }
            // A log that grows is no event.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// An error with the cause if it has ended by itself.
    pub(crate) fn check(&self) -> Result<()> {
        match self.ended()? {
            Some(status) => Err(self.death(Kind::MachineDied, status)),
            None => Ok(()),
        }
    }

    fn ended(&self) -> Result<Option<ExitStatus>> {
        let mut state = self.lock();
        if let State::Runs(child) = &mut *state
            && let Some(status) = child.try_wait()?
        {
            *state = State::Ended(status);
        }
        Ok(match &*state {
            State::Ended(status) => Some(*status),
            _ => None,
        })
    }

    fn await_listening(&self) -> Result<()> {
        let deadline = Instant::now() + LISTENS;
        while !listens(&self.socket)? {
            interrupt::check()?;
            if let Some(status) = self.ended()? {
                return Err(self.refusal(status));
            }
            if Instant::now() > deadline {
                let message = format!(
                    "the device {} does not listen on {} after {} s",
                    self.name,
                    self.socket.display(),
                    LISTENS.as_secs()
                );
                return Err(self.with_log(Error::new(Kind::Timeout, message)));
            }
            // There is no event for a socket that another process binds.
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Why it has not come so far as to listen; our own program's exit code 2 is wrong use, which it has explained.
    fn refusal(&self, status: ExitStatus) -> Error {
        let wrong_use = self.plan.is_ours() && status.code() == Some(2);
        self.death(if wrong_use { Kind::Usage } else { Kind::Lab }, status)
    }

    fn death(&self, kind: Kind, status: ExitStatus) -> Error {
        let message = format!("the device {} is gone: its backend ended ({})", self.name, how(status));
        self.with_log(Error::new(kind, message))
    }

    fn with_log(&self, error: Error) -> Error {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        match &lines[lines.len().saturating_sub(TAIL)..] {
            [] => error.with_source(LogEnd("nothing".into())),
            tail => error.with_source(LogEnd(format!("\n  {}", tail.join("\n  ")))),
        }
    }

    /// The state is whole wherever a thread can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a backend's log, as the cause under an error.
#[derive(Debug, thiserror::Error)]
#[error("the end of its log: {0}")]
struct LogEnd(String);

fn socket(name: &str, folder: &Path) -> Result<PathBuf> {
    let socket = folder.join(format!("{name}.sock"));
    if socket.as_os_str().len() <= MAX_PATH {
        return Ok(socket);
    }
    let message = format!("the path {} is too long for a socket", socket.display());
    Err(Error::new(Kind::Usage, message).with_help("give the guest and the device shorter names"))
}

/// Whether somebody accepts connections on this socket, or on the one that it is a link to: a backend may outlive the
/// guest, and its socket with it. To connect would tell more, and would be the one connection that the backend waits for.
fn listens(socket: &Path) -> Result<bool> {
    let Ok(socket) = &socket.canonicalize() else { return Ok(false) };
    let table = files::read(Path::new("/proc/net/unix"))?;
    Ok(table.lines().any(|line| is_listener(line, socket)))
}

/// A line is `Num: RefCount Protocol Flags Type St Inode Path`, in hexadecimal; the path is the rest.
fn is_listener(line: &str, socket: &Path) -> bool {
    let mut fields = line.splitn(8, ' ').filter(|field| !field.is_empty());
    let flags = fields.nth(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
    flags & LISTENING != 0 && line.ends_with(&format!(" {}", socket.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vhost_user::{Device, Shape};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn plan(script: &str) -> Plan {
        let shape = Shape { kind: "t".into(), virtio_id: 2, queues: 1, queue_size: 64, config_size: 0 };
        Device::program(shape, "sh", ["-c", script, "{socket}"]).plan().unwrap()
    }

    #[test]
    fn a_socket_that_listens_is_told_from_one_that_is_only_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("with space.sock");
        assert!(!listens(&path).unwrap());
        let listener = UnixListener::bind(&path).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(listens(&path).unwrap() && listens(&link).unwrap());
        let _peer = UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(path.exists() && !listens(&path).unwrap());
    }

    #[test]
    fn a_backend_that_ends_before_it_listens_is_named_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = Backend::start("t0", plan("echo no such image >&2; exit 3"), dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Lab, "{error}");
        assert!(error.to_string().contains("t0") && error.to_string().contains("exit code 3"), "{error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no such image"), "{cause}");
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_before_anything_starts() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100));
        let error = Backend::start("t0", plan("exit 0"), &deep).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
    }
}
