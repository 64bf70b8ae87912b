// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running child, its process group, and their end.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// How often a wait looks whether Ctrl-C was pressed.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// A running program that ends with this value: its whole process group does.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    pidfd: OwnedFd,
    name: String,
    grace: Duration,
    own_group: bool,
    status: Option<ExitStatus>,
}

impl Child {
    pub(super) fn new(
        mut child: std::process::Child,
        name: String,
        grace: Duration,
        own_group: bool,
    ) -> Result<Self> {
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { child, pidfd, name, grace, own_group, status: None }),
            Err(e) => {
                // Both fail only if it has ended already, which is what we want.
                let _ = child.kill();
                let _ = child.wait();
                Err(Error::new(Kind::Lab, format!("cannot watch {name}: pidfd_open failed")).with_source(e))
            }
        }
    }

    /// Process id, which is also the id of its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A file descriptor that polls readable when the child has ended.
    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// The write end of its standard input, once, if it is a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The read end of its standard output, once, if it is a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The read end of its standard error, once, if it is a pipe.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How it ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() && self.ended_within(Duration::ZERO)? {
            self.reap()?;
        }
        Ok(self.status)
    }

    /// Waits for its end, at most `limit`. `Ok(None)` when the limit passed; [`Kind::Interrupted`] on Ctrl-C.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Option<ExitStatus>> {
        let deadline = limit.map(|l| Instant::now() + l);
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            interrupt::check()?;
            let left = deadline.map_or(TICK, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            self.ended_within(left.min(TICK))?;
        }
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match (self.status, kill_process(self.pid(), signal)) {
            (Some(_), _) | (None, Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            (None, Err(e)) => Err(e).context(Kind::Lab, || format!("cannot send a signal to {}", self.name)),
        }
    }

    /// Ends the whole group, or the child alone where it shares ours: SIGTERM, then SIGKILL when the grace is over. Returns how
    /// the child ended.
    pub fn end(&mut self) -> Result<ExitStatus> {
        if self.status.is_none() && !self.grace.is_zero() {
            // A stopped process handles no SIGTERM.
            for signal in [Signal::TERM, Signal::CONT] {
                match self.own_group {
                    true => self.signal_group(signal),
                    false => self.signal(signal)?,
                }
            }
            self.ended_within(self.grace)?;
        }
        self.end_now()
    }

    /// Ends the whole group with SIGKILL.
    pub fn end_now(&mut self) -> Result<ExitStatus> {
        match self.status {
            Some(status) => Ok(status),
            None => self.reap(),
        }
    }

    /// Kills what is left of the group, then collects the child. In this order: until it is collected, its
    /// number, and so the group's, cannot belong to somebody else.
    fn reap(&mut self) -> Result<ExitStatus> {
        self.signal_group(Signal::KILL);
        if !self.own_group && !self.ended_within(Duration::ZERO)? {
            self.child.kill().context(Kind::Lab, || format!("cannot end {}", self.name))?;
        }
        let status = self.child.wait().context(Kind::Lab, || format!("cannot wait for {}", self.name))?;
        self.status = Some(status);
        Ok(status)
    }

    fn signal_group(&self, signal: Signal) {
        if self.own_group {
            // Fails only when every member has ended.
            let _ = kill_process_group(self.pid(), signal);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn ended_within(&self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(0) if left.is_zero() => return Ok(false),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(e) => return Err(e).context(Kind::Lab, || format!("cannot wait for {}", self.name)),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            tracing::warn!("{} (process {}) may still run: {e}", self.name, self.id());
        }
    }
}

/// A duration for `poll`.
pub(super) fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(d.subsec_nanos()) }
}
