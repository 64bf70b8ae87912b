// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running a program to its end: output as it comes, the tail kept for the error, a deadline, Ctrl-C.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::child::{Child, TICK, timespec};
use super::lines::Lines;
use super::{Command, OnLine, Stream};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// How many lines of output an error keeps.
const TAIL: usize = 40;
/// How long after the child's end its output may still be on its way (a daemon that it left may hold the
/// pipe for ever).
const DRAIN: Duration = Duration::from_secs(2);

/// How programs say that a file system is full.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "enough free space in"];

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

/// Why a program failed: the cause below the error of [`Command::run`].
#[derive(Debug)]
pub struct Failure {
    /// How it ended.
    pub status: ExitStatus,
    /// The last lines of its output, both streams as they came.
    pub tail: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", how(self.status))?;
        self.tail.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Failure {}

/// How a program ended, in words.
pub(crate) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Command<'_> {
    /// Runs it to its end. An exit code other than 0 is an error of [`Command::failure_kind`] whose source is
    /// a [`Failure`].
    pub fn run(self) -> Result<()> {
        let line = self.line();
        let kind = self.kind;
        let (status, tail) = Run::start(self, None)?.complete()?;
        check(&line, kind, status, tail)
    }

    /// As [`run`](Self::run), and returns what it said on standard output. Not for gigabytes.
    pub fn read(self) -> Result<Vec<u8>> {
        let line = self.line();
        let kind = self.kind;
        let mut kept = Kept::default();
        let (status, tail) = Run::start(self, Some(&mut kept))?.complete()?;
        check(&line, kind, status, tail)?;
        Ok(kept.stdout)
    }

    /// Runs it to its end and returns all it said, whatever its exit code.
    pub fn output(self) -> Result<Output> {
        let mut kept = Kept::default();
        let (status, _) = Run::start(self, Some(&mut kept))?.complete()?;
        Ok(Output { status, stdout: kept.stdout, stderr: kept.stderr })
    }

    /// Runs it on our own terminal to its end, as a shell would: for `menuconfig`. Its standard output is our standard
    /// error, because ours carries results.
    pub fn run_in_foreground(self) -> Result<()> {
        let (line, kind) = (self.line(), self.kind);
        let stderr = std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .context(Kind::Lab, || "cannot duplicate stderr")?;
        let status = self.wait_in_foreground(stderr.into())?;
        check(&line, kind, status, Vec::new())
    }

    /// Runs it on our own terminal and streams, and returns how it ended.
    pub fn status(self) -> Result<ExitStatus> {
        self.wait_in_foreground(Stdio::inherit())
    }

    fn wait_in_foreground(self, stdout: Stdio) -> Result<ExitStatus> {
        let mut command = self.foreground();
        let mut child = command.spawn_with(stdout, Stdio::inherit())?;
        let limit = command.deadline;
        child.wait(limit)?.ok_or_else(|| timed_out(&command.line(), limit.unwrap_or_default()))
    }
}

fn check(line: &str, kind: Kind, status: ExitStatus, tail: Vec<String>) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let full = tail.iter().any(|line| FULL.iter().any(|words| line.contains(words)));
    let error = Error::new(if full { Kind::NoSpace } else { kind }, format!("`{}` failed", shorten(line)));
    let error =
        if full { error.with_help("make room on the disk, then run the same command again") } else { error };
    Err(error.with_source(Failure { status, tail }))
}

fn timed_out(line: &str, limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("`{}` did not end within {} s", shorten(line), limit.as_secs_f32()))
}

/// A command line may be pages long.
fn shorten(line: &str) -> String {
    match line.char_indices().nth(160) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.to_owned(),
    }
}

#[derive(Default)]
struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// One of the child's pipes, until its end.
struct Pipe {
    stream: Stream,
    file: Option<File>,
    lines: Lines,
}

struct Run<'a, 'k> {
    line: String,
    limit: Option<Duration>,
    child: Child,
    pipes: [Pipe; 2],
    sink: Sink<'a, 'k>,
}

/// Where output goes.
struct Sink<'a, 'k> {
    log: Option<File>,
    kept: Option<&'k mut Kept>,
    on_line: Option<OnLine<'a>>,
    tail: VecDeque<String>,
}

impl<'a, 'k> Run<'a, 'k> {
    fn start(mut command: Command<'a>, kept: Option<&'k mut Kept>) -> Result<Self> {
        let log = match &command.log {
            Some(path) => {
                let log = File::options().create(true).append(true).open(path);
                Some(log.context(Kind::Lab, || format!("cannot write {}", path.display()))?)
            }
            None => None,
        };
        let mut child = command.spawn_with(Stdio::piped(), Stdio::piped())?;
        let stdout = child.take_stdout().map(|p| File::from(std::os::fd::OwnedFd::from(p)));
        let stderr = child.take_stderr().map(|p| File::from(std::os::fd::OwnedFd::from(p)));
        let pipe = |stream, file| Pipe { stream, file, lines: Lines::default() };
        Ok(Self {
            line: command.line(),
            limit: command.deadline,
            child,
            pipes: [pipe(Stream::Stdout, stdout), pipe(Stream::Stderr, stderr)],
            sink: Sink { log, kept, on_line: command.on_line.take(), tail: VecDeque::new() },
        })
    }

    /// Any way out but the last ends the child, by dropping it.
    fn complete(mut self) -> Result<(ExitStatus, Vec<String>)> {
        let deadline = self.limit.map(|l| (Instant::now() + l, l));
        let mut ended: Option<(ExitStatus, Instant)> = None;
        while self.pipes.iter().any(|p| p.file.is_some()) && ended.is_none_or(|(_, at)| at.elapsed() < DRAIN)
        {
            interrupt::check()?;
            if let Some((_, limit)) = deadline.filter(|(at, _)| Instant::now() >= *at) {
                return Err(timed_out(&self.line, limit));
            }
            self.pump(ended.is_none())?;
            if ended.is_none() {
                ended = self.child.try_wait()?.map(|status| (status, Instant::now()));
            }
        }
        let status = match ended {
            Some((status, _)) => status,
            None => self.wait_silent(deadline)?,
        };
        self.sink.finish(&mut self.pipes)?;
        Ok((status, self.sink.tail.into()))
    }

    /// For a child that closed its output and runs on.
    fn wait_silent(&mut self, deadline: Option<(Instant, Duration)>) -> Result<ExitStatus> {
        let left = deadline.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let limit = deadline.map_or(Duration::ZERO, |(_, limit)| limit);
        self.child.wait(left)?.ok_or_else(|| timed_out(&self.line, limit))
    }

    /// Waits a tick for output or the child's end, and hands on what came.
    fn pump(&mut self, running: bool) -> Result<()> {
        let ready = {
            let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3);
            let open = self.pipes.iter().filter_map(|p| p.file.as_ref());
            fds.extend(open.map(|f| PollFd::from_borrowed_fd(f.as_fd(), PollFlags::IN)));
            if running {
                fds.push(PollFd::from_borrowed_fd(self.child.pidfd().as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, Some(&timespec(TICK))) {
                Ok(_) => fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>(),
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(e) => return Err(e).context(Kind::Lab, || format!("cannot wait for `{}`", self.line)),
            }
        };
        let open = self.pipes.iter_mut().filter(|p| p.file.is_some());
        for (pipe, _) in open.zip(ready).filter(|(_, ready)| *ready) {
            self.sink
                .read_from(pipe)
                .context(Kind::Lab, || format!("cannot take the output of `{}`", self.line))?;
        }
        Ok(())
    }
}

impl Sink<'_, '_> {
    fn read_from(&mut self, pipe: &mut Pipe) -> std::io::Result<()> {
        let Some(file) = &mut pipe.file else { return Ok(()) };
        let mut buffer = [0; 16 * 1024];
        let n = match file.read(&mut buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            Err(e) => return Err(e),
        };
        if n == 0 {
            pipe.file = None;
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            log.write_all(&buffer[..n])?;
        }
        if let Some(kept) = &mut self.kept {
            let to = if pipe.stream == Stream::Stdout { &mut kept.stdout } else { &mut kept.stderr };
            to.extend_from_slice(&buffer[..n]);
        }
        let stream = pipe.stream;
        pipe.lines.feed(&buffer[..n], |line| take_line(&mut self.tail, &mut self.on_line, stream, line));
        Ok(())
    }

    fn finish(&mut self, pipes: &mut [Pipe]) -> Result<()> {
        for pipe in pipes {
            let stream = pipe.stream;
            pipe.lines.flush(|line| take_line(&mut self.tail, &mut self.on_line, stream, line));
        }
        match &mut self.log {
            Some(log) => log.flush().context(Kind::Lab, || "cannot write the log"),
            None => Ok(()),
        }
    }
}

fn take_line(tail: &mut VecDeque<String>, on_line: &mut Option<OnLine<'_>>, stream: Stream, line: &str) {
    if tail.len() == TAIL {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
    if let Some(f) = on_line {
        f(stream, line);
    }
}
