// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands in the guest, with streams, exit codes and signals as if they were local.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use blockyard_proto::{Channel, Event, Exec, Outcome, Request, Stream};

use super::session::{Session, failed};
use crate::error::{Context, Error, Kind, Result};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Status {
    /// The code that a shell would show: the command's own, or 128 plus the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }

    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signaled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How a command ended, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its standard output; empty where [`Command::on_output`] took it.
    pub stdout: Vec<u8>,
    /// Its standard error; empty where [`Command::on_output`] took it.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Its standard output as text; bytes that are no UTF-8 become replacement characters.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Which of a command's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

type OnOutput<'a> = Box<dyn FnMut(To, &[u8]) -> Result<()> + 'a>;

/// A command to run in the guest. Its standard input is empty unless given.
#[must_use = "a command does nothing until it is run"]
pub struct Command<'a> {
    session: &'a Session,
    exec: Exec,
    stdin: Option<Box<dyn Read + Send>>,
    timeout: Option<Duration>,
    on_output: Option<OnOutput<'a>>,
}

impl Session {
    /// A command with exactly these arguments, the program first; no shell in between.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Command<'_> {
        let bytes = |word: S| serde_bytes::ByteBuf::from(word.as_ref().as_encoded_bytes());
        let exec = Exec { argv: argv.into_iter().map(bytes).collect(), ..Exec::default() };
        Command { session: self, exec, stdin: None, timeout: None, on_output: None }
    }

    /// Runs a line of shell (`/bin/sh -c`) to its end, whatever its exit code.
    pub fn exec(&self, line: &str) -> Result<Output> {
        self.command(["/bin/sh", "-c", line]).run()
    }

    /// Runs a line of shell that must exit with 0, and gives what it said on standard output.
    pub fn check(&self, line: &str) -> Result<String> {
        let output = self.exec(line)?;
        if output.status.success() {
            return Ok(output.stdout_text());
        }
        let said = format!("{}{}", output.stdout_text(), output.stderr_text());
        let message = format!("`{line}` ended with {}: {}", output.status, said.trim_end());
        Err(Error::new(Kind::Guest, message))
    }
}

impl<'a> Command<'a> {
    /// Feeds these bytes to its standard input.
    pub fn stdin(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin_from(std::io::Cursor::new(bytes.into()))
    }

    /// Feeds what this reader gives to its standard input. A thread reads it; it may outlive the command if
    /// the reader does not return.
    pub fn stdin_from(mut self, reader: impl Read + Send + 'static) -> Self {
        self.stdin = Some(Box::new(reader));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.exec.env.push((name.into(), value.into()));
        self
    }

    /// Starts it in this folder instead of `/root`.
    pub fn dir(mut self, dir: &str) -> Self {
        self.exec.dir = dir.into();
        self
    }

    /// Ends it with [`Kind::Timeout`] after this time, as the clock on the wall shows it. The session's default is
    /// ten minutes under KVM, more under emulation.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Lets it run for as long as it likes.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = Some(Duration::MAX);
        self
    }

    /// Hands its output over as it comes instead of keeping it. An error ends the command.
    pub fn on_output(mut self, f: impl FnMut(To, &[u8]) -> Result<()> + 'a) -> Self {
        self.on_output = Some(Box::new(f));
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Result<Output> {
        let mut on_output = self.on_output.take();
        let limit = self.timeout.unwrap_or_else(|| self.session.engine().scale(DEFAULT_LIMIT));
        let mut running = self.spawn()?;
        running.wait_with(limit, on_output.as_mut())
    }

    /// Starts it and returns; dropping the [`Running`] ends the command.
    pub fn spawn(self) -> Result<Running<'a>> {
        let line = self.line();
        let stream = Arc::new(self.session.request(Request::Exec(self.exec))?);
        match self.stdin {
            Some(reader) => feed(stream.clone(), reader)?,
            None => stream.end(Channel::In).map_err(|closed| self.session.closed(closed))?,
        }
        Ok(Running { session: self.session, stream, line, output: Output::empty() })
    }

    fn line(&self) -> String {
        let words: Vec<_> = self.exec.argv.iter().map(|word| String::from_utf8_lossy(word)).collect();
        match &words[..] {
            [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => line.to_string(),
            words => words.join(" "),
        }
    }
}

/// What a command may take when nothing else was said, under KVM.
const DEFAULT_LIMIT: Duration = Duration::from_secs(600);

impl Output {
    fn empty() -> Self {
        Self { status: Status::Exited(-1), stdout: Vec::new(), stderr: Vec::new() }
    }
}

/// Copies the reader to the command's input, in a thread: the reader may block.
fn feed(stream: Arc<Stream>, mut reader: Box<dyn Read + Send>) -> Result<()> {
    let copy = move || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                // A command that no longer reads has closed its input, which is its right.
                Ok(n) if stream.write(Channel::In, &buffer[..n]).is_err() => return,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Whoever has ended needs no end of input.
        let _ = stream.end(Channel::In);
    };
    let thread = thread::Builder::new().name("command input".into()).spawn(copy);
    thread.context(Kind::Lab, || "cannot start a thread").map(drop)
}

/// A command under way.
#[derive(Debug)]
pub struct Running<'a> {
    session: &'a Session,
    stream: Arc<Stream>,
    line: String,
    output: Output,
}

impl Running<'_> {
    /// Waits until its standard output holds `text`: for a program that says when it is ready.
    pub fn wait_for_text(&mut self, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(self.session.engine().scale(limit));
        while !self.output.stdout_text().contains(text) {
            match self.session.next(&self.stream, deadline)? {
                Some(Event::Data(channel, bytes)) => self.keep(channel, &bytes),
                Some(_) => {
                    let message = format!("`{}` ended without saying {text:?}: {}", self.line, self.said());
                    return Err(Error::new(Kind::Guest, message));
                }
                None => {
                    let message = format!("`{}` did not say {text:?} in time: {}", self.line, self.said());
                    return Err(Error::new(Kind::Timeout, message));
                }
            }
        }
        Ok(())
    }

    /// Sends it a signal, as to a process group.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.stream.signal(signal).map_err(|closed| self.session.closed(closed))
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Output> {
        let limit = self.session.engine().scale(DEFAULT_LIMIT);
        self.wait_with(limit, None)
    }

    fn wait_with(&mut self, limit: Duration, mut sink: Option<&mut OnOutput<'_>>) -> Result<Output> {
        let deadline = Instant::now().checked_add(limit);
        loop {
            match (self.session.next(&self.stream, deadline)?, sink.as_mut()) {
                (Some(Event::Data(channel, bytes)), Some(sink)) => sink(to(channel), &bytes)?,
                (Some(Event::Data(channel, bytes)), None) => self.keep(channel, &bytes),
                (Some(Event::Closed(outcome)), _) => return self.ended(outcome),
                (Some(_), _) => {}
                (None, _) => return Err(self.timed_out(limit)),
            }
        }
    }

    fn ended(&mut self, outcome: Outcome) -> Result<Output> {
        let mut output = std::mem::replace(&mut self.output, Output::empty());
        output.status = match outcome {
            Outcome::Exited(code) => Status::Exited(code),
            Outcome::Killed(signal) => Status::Signaled(signal),
            Outcome::Failed(failure) => return Err(failed(failure)),
            other => return Err(Error::new(Kind::Lab, format!("the agent ended a command with {other:?}"))),
        };
        Ok(output)
    }

    fn keep(&mut self, channel: Channel, bytes: &[u8]) {
        match to(channel) {
            To::Stdout => self.output.stdout.extend_from_slice(bytes),
            To::Stderr => self.output.stderr.extend_from_slice(bytes),
        }
    }

    fn said(&self) -> String {
        format!("{}{}", self.output.stdout_text(), self.output.stderr_text()).trim_end().to_owned()
    }

    fn timed_out(&self, limit: Duration) -> Error {
        let said = self.said();
        let tail = said.char_indices().rev().nth(2000).map_or(&said[..], |(at, _)| &said[at..]);
        let message = format!("`{}` did not end within {} s", self.line, limit.as_secs_f32());
        let error = Error::new(Kind::Timeout, message);
        if tail.is_empty() {
            error
        } else {
            error.with_source(std::io::Error::other(format!("it had said: {tail}")))
        }
    }
}

fn to(channel: Channel) -> To {
    if channel == Channel::Err { To::Stderr } else { To::Stdout }
}
