// SPDX-License-Identifier: MIT OR Apache-2.0
//! A person at the guest's console: this terminal becomes the serial line until Ctrl-] or the shell's end.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use blockyard_proto::{Event, Request, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::Guest;
use super::session::done;
use crate::error::{Context, Kind, Result};
use crate::qemu::names;

/// Ctrl-].
const LEAVE: u8 = 0x1d;
/// Ctrl-D: what a shell on a terminal takes for the end of its input.
const END: u8 = 0x04;
const TICK: Duration = Duration::from_millis(50);
/// A Ctrl-D that comes before the shell has set the line up is lost, so it is typed again.
const END_AGAIN: Duration = Duration::from_secs(1);
/// How long the serial line may still carry after the shell has ended.
const LINGER: Duration = Duration::from_millis(300);

/// How a visit to the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// By Ctrl-]; the shell was left running.
    Keys,
    /// The shell exited.
    ShellEnded,
}

impl Guest {
    /// Joins this process's standard input and output to the guest's serial console, with a shell on it. A terminal
    /// is switched to raw mode and restored on every way out; without one, the input is typed as it comes, and its
    /// end ends the shell.
    pub fn console(&self) -> Result<Left> {
        let socket = self.claim.dir().join(names::CONSOLE);
        let line = UnixStream::connect(&socket)
            .context(Kind::Lab, || format!("cannot reach {}", socket.display()))?;
        let terminal = std::io::stdin().is_terminal();
        let (rows, columns) = size();
        let kind = std::env::var("TERM").unwrap_or_else(|_| "vt100".into());
        let shell = self.request(Request::Console { terminal: kind, rows, columns })?;
        let resized = Arc::new(AtomicBool::new(false));
        let winch = signal_hook::flag::register(signal_hook::consts::SIGWINCH, resized.clone());
        let winch = winch.context(Kind::Lab, || "cannot follow the terminal's size")?;
        let _raw = if terminal { Some(Raw::enter()?) } else { None };
        let output = copy_out(line.try_clone().context(Kind::Lab, || "cannot use the console")?)?;
        let left = self.type_into(&line, &shell, &resized);
        signal_hook::low_level::unregister(winch);
        // What was said last may still be on the line.
        if matches!(left, Ok(Left::ShellEnded)) {
            let until = Instant::now() + LINGER;
            while Instant::now() < until && !output.is_finished() {
                thread::sleep(TICK);
            }
        }
        drop(line.shutdown(std::net::Shutdown::Both));
        left
    }

    fn type_into(&self, mut line: &UnixStream, shell: &Stream, resized: &AtomicBool) -> Result<Left> {
        // Read past the standard library's buffer, which poll knows nothing of.
        let stdin = std::io::stdin();
        let mut ended: Option<Instant> = None;
        let mut buffer = [0; 1024];
        loop {
            if let Some(Event::Closed(outcome)) = self.next(shell, Some(Instant::now()))? {
                return done(outcome).map(|()| Left::ShellEnded);
            }
            if resized.swap(false, Ordering::Relaxed) {
                let (rows, columns) = size();
                shell.resize(rows, columns).map_err(|closed| self.closed(closed))?;
            }
            if let Some(last) = ended {
                if last.elapsed() > END_AGAIN {
                    line.write_all(&[END]).map_err(|_| self.session.vitals().autopsy())?;
                    ended = Some(Instant::now());
                }
                thread::sleep(TICK);
                continue;
            }
            if !readable(&stdin)? {
                continue;
            }
            let n = rustix::io::read(&stdin, &mut buffer)
                .context(Kind::Lab, || "cannot read from the terminal")?;
            let (bytes, leave) = typed(&buffer[..n]);
            ended = (n == 0).then(Instant::now);
            let bytes = if n > 0 { bytes } else { &[END] };
            line.write_all(bytes).map_err(|_| self.session.vitals().autopsy())?;
            if leave {
                return Ok(Left::Keys);
            }
        }
    }
}

/// What comes before Ctrl-], and whether it came.
fn typed(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == LEAVE) {
        Some(at) => (&bytes[..at], true),
        None => (bytes, false),
    }
}

fn readable(stdin: &std::io::Stdin) -> Result<bool> {
    let mut fds = [PollFd::new(stdin, PollFlags::IN)];
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos() as i64 };
    match poll(&mut fds, Some(&tick)) {
        Ok(n) => Ok(n > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e).context(Kind::Lab, || "cannot wait for the terminal"),
    }
}

/// Rows and columns of this terminal.
fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout()).map_or((24, 80), |size| (size.ws_row, size.ws_col))
}

fn copy_out(mut line: UnixStream) -> Result<thread::JoinHandle<()>> {
    let copy = move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = line.read(&mut buffer) {
            let mut stdout = std::io::stdout().lock();
            // Whoever has closed our output does not read the console.
            if stdout.write_all(&buffer[..n]).and_then(|()| stdout.flush()).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("console".into()).spawn(copy).context(Kind::Lab, || "cannot start a thread")
}

/// A terminal in raw mode, until it is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Self> {
        let what = || "cannot switch the terminal to raw mode";
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd()).context(Kind::Lab, what)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw).context(Kind::Lab, what)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_after_the_leaving_keys_is_not_sent() {
        assert_eq!(typed(b"ls\r\x1dx"), (&b"ls\r"[..], true));
        assert_eq!(typed(b"ls\r"), (&b"ls\r"[..], false));
    }
}
