// SPDX-License-Identifier: MIT OR Apache-2.0
//! A conversation with the agent: the greeting, the thread that reads the port, and waiting for answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use blockyard_proto::{
    Channel, Closed, Decoder, Event, Failure, Frame, Incoming, Link, Outcome, Request, Stream, VERSION,
    decode,
};

use super::vitals::Vitals;
use crate::accel::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// How often a wait looks at Ctrl-C and at the machine.
const TICK: Duration = Duration::from_millis(100);
/// How long an agent may say nothing at all, under KVM, before the machine counts as hung.
const SILENCE: Duration = Duration::from_secs(60);
/// How long after its first silence the agent is asked for a sign of life.
const ASK: Duration = Duration::from_secs(5);
/// How long after Ctrl-C a guest may take no bytes before what is being sent to it is given up.
const PARTING: Duration = Duration::from_secs(1);

/// A conversation with the agent of one guest.
#[derive(Debug)]
pub struct Session {
    link: Arc<Link>,
    socket: UnixStream,
    heard: Arc<Heard>,
    engine: Engine,
    vitals: Vitals,
}

/// When the agent last said something, and was last asked to: milliseconds since the conversation began.
#[derive(Debug)]
struct Heard {
    began: Instant,
    at: AtomicU64,
    asked: AtomicU64,
}

impl Heard {
    fn new() -> Self {
        Self { began: Instant::now(), at: AtomicU64::new(0), asked: AtomicU64::new(0) }
    }

    fn silence(&self) -> Duration {
        self.since(&self.at)
    }

    fn now(&self) {
        self.at.store(self.millis(), Ordering::Relaxed);
    }

    /// Whether to ask for a sign of life now: once in [`ASK`], as whoever hangs takes nothing from the port, and a few
    /// hundred questions fill it.
    fn asks(&self) -> bool {
        let due = self.silence() > ASK && self.since(&self.asked) > ASK;
        if due {
            self.asked.store(self.millis(), Ordering::Relaxed);
        }
        due
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(moment.load(Ordering::Relaxed)))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The port, to write to. What is written waits until the guest takes something, and a guest that hangs never does.
struct Outgoing {
    /// Its writes return after a [`TICK`].
    socket: UnixStream,
    patience: Duration,
}

impl Outgoing {
    fn new(socket: UnixStream, patience: Duration) -> io::Result<Self> {
        socket.set_write_timeout(Some(TICK))?;
        Ok(Self { socket, patience })
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let began = Instant::now();
        loop {
            match self.socket.write(bytes) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let patience = if interrupt::pending() { PARTING } else { self.patience };
                    if began.elapsed() >= patience {
                        return Err(io::Error::new(ErrorKind::TimedOut, "the guest takes nothing"));
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// What became of bytes for the guest.
pub(super) enum Sent {
    All,
    /// The outcome of the stream says why.
    Unwanted,
    TooSlow,
}

impl Session {
    /// Greets the agent behind this socket and waits for its answer until `deadline`.
    pub(crate) fn open(socket: &Path, engine: Engine, vitals: Vitals, deadline: Instant) -> Result<Self> {
        let stream = connect(socket, &vitals, deadline)?;
        let what = || format!("cannot use the socket {}", socket.display());
        let reader = stream.try_clone().context(Kind::Lab, what)?;
        let writer = stream.try_clone().context(Kind::Lab, what)?;
        let link = Link::new(Outgoing::new(writer, engine.scale(SILENCE)).context(Kind::Lab, what)?);
        let heard = Arc::new(Heard::new());
        let (welcomed, welcome) = mpsc::sync_channel(1);
        let nonce = greeting_nonce();
        let port = Port { link: Arc::downgrade(&link), heard: heard.clone(), welcomed, nonce };
        thread::Builder::new()
            .name("agent port".into())
            .spawn(move || port.read(reader))
            .context(Kind::Lab, || "cannot start a thread")?;
        let session = Self { link, socket: stream, heard, engine, vitals };
        session.greet(nonce)?;
        session.await_welcome(&welcome, deadline)?;
        Ok(session)
    }

    fn greet(&self, nonce: u64) -> Result<()> {
        let sent = self.link.send_raw(&decode::padding()).and_then(|()| self.link.send(&Frame::hello(nonce)));
        sent.map_err(|_| self.lost())
    }

    fn await_welcome(&self, welcome: &mpsc::Receiver<u16>, deadline: Instant) -> Result<()> {
        loop {
            match welcome.recv_timeout(TICK) {
                Ok(VERSION) => return Ok(()),
                Ok(other) => {
                    let message =
                        format!("the agent speaks version {other} of the protocol, the lab {VERSION}");
                    return Err(
                        Error::new(Kind::Lab, message).with_help("boot the guest with this blockyard")
                    );
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.vitals.autopsy()),
                Err(RecvTimeoutError::Timeout) => {
                    interrupt::check()?;
                    self.vitals.check()?;
                    if Instant::now() > deadline {
                        let help = "`--append loglevel=7` prints the whole boot on the console";
                        let error = self.vitals.silent("the agent in the guest never answered");
                        return Err(error.with_help(help));
                    }
                }
            }
        }
    }

    /// Asks the agent for something.
    pub(super) fn request(&self, request: Request) -> Result<Stream> {
        self.link.open(request).map_err(|closed| self.closed(closed))
    }

    /// Asks for something whose answer carries no data, and waits for the answer.
    pub(super) fn ask(&self, what: &str, request: Request, limit: Duration) -> Result<()> {
        let stream = self.request(request)?;
        let deadline = Instant::now() + self.engine.scale(limit);
        loop {
            match self.next(&stream, Some(deadline))? {
                Some(Event::Closed(outcome)) => return done(outcome),
                Some(_) => {}
                None => {
                    let message =
                        format!("{what} was not done within {} s", self.engine.scale(limit).as_secs());
                    return Err(Error::new(Kind::Timeout, message));
                }
            }
        }
    }

    /// What comes next on a stream, data or its end; `None` at the deadline. A lost machine is an error with its cause.
    pub(super) fn next(&self, stream: &Stream, deadline: Option<Instant>) -> Result<Option<Event>> {
        loop {
            interrupt::check()?;
            let tick = Instant::now() + TICK;
            let until = deadline.map_or(tick, |deadline| deadline.min(tick));
            match stream.next_event(Some(until)) {
                Event::Nothing if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Ok(None);
                }
                Event::Nothing => self.watch()?,
                Event::Lost(_) => return Err(self.lost()),
                event => return Ok(Some(event)),
            }
        }
    }

    /// Sends all of these bytes, looking at Ctrl-C and at the machine meanwhile, unless the other side takes none of them
    /// for as long as `idle`, or no longer wants them.
    pub(super) fn send(&self, stream: &Stream, bytes: &[u8], idle: Duration) -> Result<Sent> {
        let (mut left, mut taken) = (bytes, Instant::now());
        while !left.is_empty() {
            interrupt::check()?;
            match stream.write_some(Channel::In, left, Some(Instant::now() + TICK)) {
                Ok(0) if taken.elapsed() >= idle => return Ok(Sent::TooSlow),
                Ok(0) => self.watch()?,
                Ok(n) => (left, taken) = (&left[n..], Instant::now()),
                Err(Closed::Lost(_)) => return Err(self.lost()),
                Err(_) => return Ok(Sent::Unwanted),
            }
        }
        Ok(Sent::All)
    }

    /// Looks after a machine that says nothing: dead, hung, or just busy.
    fn watch(&self) -> Result<()> {
        self.vitals.check()?;
        if let Some(hung) = self.hung() {
            return Err(hung);
        }
        if self.heard.asks() {
            // A failed send has ended the link, which the next event tells.
            drop(self.link.send(&Frame::Ping));
        }
        Ok(())
    }

    /// An error if the guest has been silent for too long.
    fn hung(&self) -> Option<Error> {
        let silence = self.heard.silence();
        (silence >= self.engine.scale(SILENCE)).then(|| {
            let message = format!("the guest has not given a sign of life for {} s", silence.as_secs());
            self.vitals.silent(&message)
        })
    }

    /// Why the link has ended: Ctrl-C while a write waited, a guest that hangs, or a machine that is gone.
    fn lost(&self) -> Error {
        match interrupt::check() {
            Err(interrupted) => interrupted,
            Ok(()) => self.hung().unwrap_or_else(|| self.vitals.autopsy()),
        }
    }

    pub(super) fn closed(&self, closed: Closed) -> Error {
        match closed {
            Closed::Lost(_) => self.lost(),
            other => Error::new(Kind::Guest, other.to_string()),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    pub(crate) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Leaves in good order: what runs in the guest may go on.
    pub(super) fn leave(&self) {
        // Whoever cannot be told is gone already.
        drop(self.link.send(&Frame::Bye));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Ends the thread that reads; an error means that the socket is closed.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// An outcome that is no failure.
pub(super) fn done(outcome: Outcome) -> Result<()> {
    match outcome {
        Outcome::Failed(failure) => Err(failed(failure)),
        _ => Ok(()),
    }
}

/// The agent's refusal as an error of ours.
pub(super) fn failed(failure: Failure) -> Error {
    let error = Error::new(Kind::Guest, failure.message);
    match failure.errno {
        Some(errno) => error.with_source(std::io::Error::from_raw_os_error(errno)),
        None => error,
    }
}

/// QEMU makes its sockets while it starts.
fn connect(socket: &Path, vitals: &Vitals, deadline: Instant) -> Result<UnixStream> {
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                interrupt::check()?;
                vitals.check()?;
                if Instant::now() > deadline {
                    return Err(vitals.silent("QEMU did not open its sockets"));
                }
                // There is no event for a socket that another process binds.
                thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e).context(Kind::Lab, || format!("cannot connect to {}", socket.display())),
        }
    }
}

fn greeting_nonce() -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(time.subsec_nanos()) << 32 | u64::from(std::process::id())
}

/// The side of the port that listens.
struct Port {
    link: Weak<Link>,
    heard: Arc<Heard>,
    welcomed: SyncSender<u16>,
    nonce: u64,
}

impl Port {
    fn read(self, mut socket: UnixStream) {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; 64 << 10];
        let reason = loop {
            match socket.read(&mut buffer) {
                Ok(0) => break "QEMU closed the port".to_owned(),
                Ok(n) => decoder.push(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => break e.to_string(),
            }
            self.heard.now();
            if let Err(reason) = self.take(&mut decoder) {
                break reason;
            }
        };
        if let Some(link) = self.link.upgrade() {
            link.fail(&reason);
        }
    }

    fn take(&self, decoder: &mut Decoder) -> std::result::Result<(), String> {
        while let Some(frame) = decoder.next_frame().map_err(|e| e.to_string())? {
            let Some(link) = self.link.upgrade() else { return Err("nobody listens any more".into()) };
            match link.receive(frame).map_err(|e| e.to_string())? {
                // A second welcome finds nobody waiting, which is as it should be.
                Incoming::Welcome { version, nonce } if nonce == self.nonce => {
                    let _ = self.welcomed.try_send(version);
                }
                // A welcome to the one before us.
                Incoming::Welcome { .. } => decoder.search(),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_nobody_takes_ends_when_patience_does() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut out = Outgoing::new(ours, 3 * TICK).unwrap();
        let error = out.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // Not by closing it: what another test starts just now may hold it, too, until it executes its program.
        theirs.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(out.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_silent_agent_is_asked_once_in_a_while() {
        let heard = Heard { began: Instant::now() - 3 * ASK, ..Heard::new() };
        assert!(heard.asks());
        assert!(!heard.asks());
        heard.now();
        assert!(!heard.asks());
    }
}
