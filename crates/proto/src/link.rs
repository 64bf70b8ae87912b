// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two ends of a conversation: many streams over one writer and whoever reads the port.
//!
//! A [`Link`] is symmetric. The lab [opens](Link::open) streams; the agent gets them from
//! [`Link::receive`], to which the thread that reads the port hands every frame. That thread never waits for
//! a consumer: what it receives fits the stream's window or is an error. Senders wait for
//! credit, each on its own stream.
//!
//! A stream ends once, with an [`Outcome`]. If the port dies first, every stream of the link is told the
//! reason, and nothing waits on.

mod stream;

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::stream::Shared;
pub use self::stream::{Closed, Control, Event, Stream};
use crate::decode::ProtocolError;
use crate::frame::Frame;
use crate::message::{Failure, Outcome, Request};
use crate::{MAX_FRAME, MAX_STREAMS};

/// Poisoning tells that a thread panicked while it held the lock; the states here are whole at every
/// point where that can happen.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a received frame asks of the side that received it.
#[derive(Debug)]
pub enum Incoming {
    /// The other side opened a stream.
    Open(Stream, Request),
    /// A conversation begins.
    Hello {
        /// The lab's version.
        version: u16,
        /// To be sent back.
        nonce: u64,
    },
    /// The agent answers the greeting.
    Welcome {
        /// The agent's version.
        version: u16,
        /// That of the `Hello`.
        nonce: u64,
    },
    /// The conversation ends in good order.
    Bye,
    /// Nothing is left to do.
    Handled,
}

#[derive(Default)]
struct Table {
    streams: HashMap<u32, Arc<Shared>>,
    next: u32,
    lost: Option<String>,
}

/// One end of a conversation.
pub struct Link {
    writer: Mutex<Box<dyn Write + Send>>,
    table: Mutex<Table>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("streams", &lock(&self.table).streams.len()).finish_non_exhaustive()
    }
}

impl Link {
    /// A link that sends through this writer.
    pub fn new(writer: impl Write + Send + 'static) -> Arc<Self> {
        Arc::new(Self { writer: Mutex::new(Box::new(writer)), table: Mutex::default() })
    }

    /// Sends one frame. A writer that fails ends the link, and every stream learns why.
    pub fn send(&self, frame: &Frame) -> Result<(), Closed> {
        if let Some(reason) = self.lost() {
            return Err(Closed::Lost(reason));
        }
        let bytes = frame.encode().map_err(|e| Closed::Refused(e.to_string()))?;
        self.send_raw(&bytes)
    }

    /// Sends bytes as they are: padding before a greeting.
    pub fn send_raw(&self, bytes: &[u8]) -> Result<(), Closed> {
        let sent = {
            let mut writer = lock(&self.writer);
            writer.write_all(bytes).and_then(|()| writer.flush())
        };
        sent.map_err(|e| {
            self.fail(&e.to_string());
            Closed::Lost(e.to_string())
        })
    }

    /// Opens a stream and says what it is for.
    pub fn open(self: &Arc<Self>, request: Request) -> Result<Stream, Closed> {
        let (id, shared) = {
            let mut table = lock(&self.table);
            if let Some(reason) = &table.lost {
                return Err(Closed::Lost(reason.clone()));
            }
            if table.streams.len() >= MAX_STREAMS {
                return Err(Closed::Refused(format!(
                    "{MAX_STREAMS} commands are running in this guest already"
                )));
            }
            let id = table.next;
            table.next += 1;
            let shared = Arc::new(Shared::default());
            table.streams.insert(id, shared.clone());
            (id, shared)
        };
        let stream = Stream::new(self.clone(), id, shared);
        match self.send(&Frame::Open { stream: id, request }) {
            Ok(()) => Ok(stream),
            Err(Closed::Refused(_)) => Err(Closed::Refused(format!(
                "the command with its arguments is longer than {MAX_FRAME} bytes; put it in a file"
            ))),
            Err(lost) => Err(lost),
        }
    }

    /// Takes one frame from the port.
    pub fn receive(self: &Arc<Self>, frame: Frame) -> Result<Incoming, ProtocolError> {
        match frame {
            Frame::Hello { version, nonce, .. } => return Ok(Incoming::Hello { version, nonce }),
            Frame::Welcome { version, nonce, .. } => return Ok(Incoming::Welcome { version, nonce }),
            Frame::Bye => return Ok(Incoming::Bye),
            Frame::Open { stream, request } => return Ok(self.accept(stream, request)),
            // A failed send has ended the link already.
            Frame::Ping => drop(self.send(&Frame::Pong)),
            Frame::Pong => {}
            Frame::Data { stream, channel, bytes } => {
                if let Some(shared) = self.find(stream) {
                    shared.data(stream, channel, bytes)?;
                }
            }
            Frame::End { stream, channel } => self.with(stream, |s| s.end(channel)),
            Frame::Credit { stream, channel, bytes } => self.with(stream, |s| s.grant(channel, bytes)),
            Frame::Signal { stream, signal } => self.with(stream, |s| s.control(Control::Signal(signal))),
            Frame::Resize { stream, rows, columns } => {
                self.with(stream, |s| s.control(Control::Resize { rows, columns }));
            }
            Frame::Cancel { stream } => self.with(stream, Shared::cancel),
            Frame::Close { stream, outcome } => self.with(stream, |s| s.close(outcome)),
        }
        Ok(Incoming::Handled)
    }

    /// Ends the link for this reason; the first one stays. Every stream is told, every wait ends.
    pub fn fail(&self, reason: &str) {
        let streams: Vec<_> = {
            let mut table = lock(&self.table);
            table.lost.get_or_insert_with(|| reason.to_owned());
            table.streams.drain().collect()
        };
        for (_, shared) in streams {
            shared.lose(reason);
        }
    }

    /// Why the link has ended, if it has.
    pub fn lost(&self) -> Option<String> {
        lock(&self.table).lost.clone()
    }

    fn accept(self: &Arc<Self>, id: u32, request: Request) -> Incoming {
        let mut table = lock(&self.table);
        if table.streams.len() >= MAX_STREAMS || table.streams.contains_key(&id) {
            drop(table);
            let message =
                format!("stream {id} cannot be opened: its number is taken, or {MAX_STREAMS} are open");
            let outcome = Outcome::Failed(Failure { message, errno: None });
            // A failed send has ended the link already.
            drop(self.send(&Frame::Close { stream: id, outcome }));
            return Incoming::Handled;
        }
        let shared = Arc::new(Shared::default());
        table.streams.insert(id, shared.clone());
        drop(table);
        Incoming::Open(Stream::new(self.clone(), id, shared), request)
    }

    /// Frames may still be under way to a stream that this side has left.
    fn find(&self, stream: u32) -> Option<Arc<Shared>> {
        lock(&self.table).streams.get(&stream).cloned()
    }

    fn with(&self, stream: u32, f: impl FnOnce(&Shared)) {
        if let Some(shared) = self.find(stream) {
            f(&shared);
        }
    }

    fn forget(&self, stream: u32) {
        lock(&self.table).streams.remove(&stream);
    }
}

#[cfg(test)]
mod tests;
