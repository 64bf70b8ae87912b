// SPDX-License-Identifier: MIT OR Apache-2.0
//! Conversations with the lab, one after the other on each port.
//!
//! A conversation begins with a greeting and ends with a `Bye`, a hang-up, a greeting of the next one, or
//! bytes that are no frames. After a `Bye`, what its commands left running in the background goes on; in all
//! other cases the lab's process died or lost its way, and everything it started is killed.

mod await_disk;
mod await_virtio;
mod console;
pub mod disk;
mod exec;
mod files;
mod group;
mod kernel_log;
mod uevent;

use std::sync::Arc;

use blockyard_proto::{Decoder, Frame, Incoming, Link, Outcome, ProtocolError, Request, Stream, VERSION};

use crate::error::{Context, Error};
use crate::port::{self, Arrival, Port, Reader};
use crate::power;
use group::Group;

/// What a handler of a request needs to know of its conversation.
struct Session {
    link: Arc<Link>,
    group: Arc<Group>,
}

/// Serves a port for ever, in a thread of its own.
pub fn start(name: &'static str) -> Result<(), Error> {
    let (reader, port) = port::open(name)?;
    thread(name, move || serve(name, reader, &port))
}

/// Starts a thread with a small stack: fifty commands at a time have two hundred of them.
fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = std::thread::Builder::new().name(name.into()).stack_size(128 * 1024);
    builder.spawn(body).context(|| format!("cannot start the thread {name}")).map(drop)
}

fn serve(name: &str, mut reader: Reader, port: &Port) {
    let mut talk = Talk { name, port, decoder: Decoder::new(), session: None };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer, talk.session.is_some()) {
            Ok(Arrival::Left) => talk.end("the lab has left"),
            Ok(Arrival::Bytes(n)) => talk.take(&buffer[..n]),
            Err(e) => {
                talk.end("the port failed");
                return crate::console::say(&format!("cannot read the port {name}: {e}"));
            }
        }
    }
}

/// What goes on at one port.
struct Talk<'a> {
    name: &'a str,
    port: &'a Port,
    decoder: Decoder,
    session: Option<Session>,
}

impl Talk<'_> {
    /// Takes bytes. Those that make no sense end the conversation; a greeting may follow in the same bytes.
    fn take(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Err(e) = self.take_frames() {
            crate::console::say(&format!("the conversation on {} makes no sense: {e}", self.name));
            self.end(&e.to_string());
        }
    }

    fn take_frames(&mut self) -> Result<(), ProtocolError> {
        while let Some(frame) = self.decoder.next_frame()? {
            if let Frame::Hello { version, nonce, .. } = frame {
                self.end("another conversation has begun");
                self.session = Some(begin(self.name, self.port, version, nonce));
                continue;
            }
            let Some(session) = &self.session else { continue };
            match session.link.receive(frame)? {
                Incoming::Open(stream, request) => dispatch(session, stream, request),
                Incoming::Bye => self.part(),
                _ => {}
            }
        }
        Ok(())
    }

    /// The end in good order.
    fn part(&mut self) {
        self.port.silence();
        if let Some(session) = self.session.take() {
            session.link.fail("the lab has said good-bye");
        }
    }

    /// Any other end.
    fn end(&mut self, reason: &str) {
        self.port.silence();
        if let Some(session) = self.session.take() {
            session.link.fail(reason);
            session.group.kill();
        }
    }
}

/// Answers a greeting. A lab of another version learns ours from the answer and leaves.
fn begin(name: &str, port: &Port, version: u16, nonce: u64) -> Session {
    let link = Link::new(port.writer());
    // A lab that has left again is noticed by the next read.
    let _ = link.send(&Frame::welcome(nonce));
    if version != VERSION {
        link.fail("the lab is of another version");
    }
    Session { link, group: Arc::new(Group::new(name, nonce)) }
}

/// Hands a request to a thread of its own.
fn dispatch(session: &Session, stream: Stream, request: Request) {
    let group = session.group.clone();
    let stream = Arc::new(stream);
    let handed = stream.clone();
    let started = thread("request", move || {
        let outcome = handle(&handed, request, &group).unwrap_or_else(|e| e.outcome());
        // A lab that has left does not want it.
        let _ = handed.close(outcome);
    });
    if let Err(e) = started {
        let _ = stream.close(e.outcome());
    }
}

fn handle(stream: &Arc<Stream>, request: Request, group: &Group) -> Result<Outcome, Error> {
    match request {
        Request::Exec(exec) => exec::run(stream, &exec, group),
        Request::Read { path } => files::read(stream, &path),
        Request::Write { path, mode } => files::write(stream, &path, mode),
        Request::KernelLog => kernel_log::send(stream),
        Request::MarkKernelLog { text } => kernel_log::mark(&text),
        Request::AwaitDisk { serial, present, limit_ms } => await_disk::run(&serial, present, limit_ms),
        Request::AwaitVirtio { port, presence, limit_ms } => await_virtio::run(&port, presence, limit_ms),
        Request::Console { terminal, rows, columns } => console::run(stream, &terminal, rows, columns),
        Request::Reset => power::reset(),
    }
}
