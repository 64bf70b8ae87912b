// SPDX-License-Identifier: MIT OR Apache-2.0
//! One stream: three channels, control messages, and one outcome.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Link, lock};
use crate::MAX_DATA;
use crate::credit::{Allowance, Window};
use crate::decode::ProtocolError;
use crate::frame::{Channel, Frame};
use crate::message::Outcome;

/// Why nothing more can be sent or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The other side has ended the stream, or no longer wants it.
    #[error("the other side has closed the stream")]
    Over,
    /// The port is gone, for this reason.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// This side does not send such a thing.
    #[error("{0}")]
    Refused(String),
}

/// What the lab tells a running command, besides its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Send this signal.
    Signal(i32),
    /// The terminal has this size now.
    Resize {
        /// Rows of text.
        rows: u16,
        /// Columns of text.
        columns: u16,
    },
    /// Nobody waits any more.
    Cancel,
}

/// What comes next on a stream, for the side that waits for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes.
    Data(Channel, Vec<u8>),
    /// The stream has ended; all its data came before.
    Closed(Outcome),
    /// It will never end: the port is gone, for this reason.
    Lost(String),
    /// Nothing within the time given.
    Nothing,
}

type OnControl = Box<dyn Fn(Control) + Send>;

#[derive(Default)]
struct Inbound {
    queue: VecDeque<Vec<u8>>,
    window: Window,
    ended: bool,
}

#[derive(Default)]
struct State {
    inbound: [Inbound; 3],
    outbound: [Allowance; 3],
    outcome: Option<Outcome>,
    cancelled: bool,
    lost: Option<String>,
    early: Vec<Control>,
}

impl State {
    fn over(&self) -> Option<Closed> {
        match &self.lost {
            Some(reason) => Some(Closed::Lost(reason.clone())),
            None => (self.cancelled || self.outcome.is_some()).then_some(Closed::Over),
        }
    }
}

/// What the reader of the port and the users of the stream share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    on_control: Mutex<Option<OnControl>>,
}

impl Shared {
    pub(super) fn data(&self, stream: u32, channel: Channel, bytes: Vec<u8>) -> Result<(), ProtocolError> {
        let mut state = lock(&self.state);
        let inbound = &mut state.inbound[channel.index()];
        inbound.window.receive(bytes.len()).map_err(|bytes| ProtocolError::Overrun { stream, bytes })?;
        if !bytes.is_empty() {
            inbound.queue.push_back(bytes);
        }
        self.changed.notify_all();
        Ok(())
    }

    pub(super) fn end(&self, channel: Channel) {
        self.change(|state| state.inbound[channel.index()].ended = true);
    }

    pub(super) fn grant(&self, channel: Channel, bytes: u32) {
        self.change(|state| state.outbound[channel.index()].grant(bytes));
    }

    pub(super) fn close(&self, outcome: Outcome) {
        self.change(|state| state.outcome = Some(outcome));
    }

    pub(super) fn cancel(&self) {
        self.change(|state| state.cancelled = true);
        self.control(Control::Cancel);
    }

    pub(super) fn lose(&self, reason: &str) {
        self.change(|state| state.lost = Some(reason.to_owned()));
        self.control(Control::Cancel);
    }

    /// Calls the handler, or keeps the message until there is one.
    pub(super) fn control(&self, control: Control) {
        let handler = lock(&self.on_control);
        match &*handler {
            Some(handler) => handler(control),
            None => lock(&self.state).early.push(control),
        }
    }

    fn change(&self, f: impl FnOnce(&mut State)) {
        f(&mut lock(&self.state));
        self.changed.notify_all();
    }

    /// Waits until `ready` gives something, or until the deadline.
    fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some(value) = ready(&mut state) {
                return Some(value);
            }
            let left = deadline.map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()));
            state = match left {
                Duration::ZERO => return None,
                Duration::MAX => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                left => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

/// One side's hold on a stream. Dropping the last one before the stream has ended cancels it.
pub struct Stream {
    link: Arc<Link>,
    id: u32,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(link: Arc<Link>, id: u32, shared: Arc<Shared>) -> Self {
        Self { link, id, shared }
    }

    /// Sends bytes, waiting for credit; an error as soon as nobody wants them any more.
    pub fn write(&self, channel: Channel, bytes: &[u8]) -> Result<(), Closed> {
        let mut left = bytes;
        while !left.is_empty() {
            let n = self.write_some(channel, left, None)?;
            left = &left[n..];
        }
        Ok(())
    }

    /// Sends as many of the bytes as there is credit for, waiting for some until the deadline; gives their number, which
    /// is 0 at the deadline.
    pub fn write_some(
        &self,
        channel: Channel,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> Result<usize, Closed> {
        let n = self.credit(channel, bytes.len().min(MAX_DATA), deadline)?;
        if n > 0 {
            self.link.send(&Frame::Data { stream: self.id, channel, bytes: bytes[..n].to_vec() })?;
        }
        Ok(n)
    }

    fn credit(&self, channel: Channel, want: usize, deadline: Option<Instant>) -> Result<usize, Closed> {
        let granted = self.shared.wait(deadline, |state| match state.over() {
            Some(closed) => Some(Err(closed)),
            None => Some(state.outbound[channel.index()].take(want)).filter(|n| *n > 0).map(Ok),
        });
        granted.unwrap_or(Ok(0))
    }

    /// Says that no more bytes follow.
    pub fn end(&self, channel: Channel) -> Result<(), Closed> {
        self.link.send(&Frame::End { stream: self.id, channel })
    }

    /// The next bytes of a channel; `None` after the last.
    pub fn read(&self, channel: Channel) -> Result<Option<Vec<u8>>, Closed> {
        let next = self.shared.wait(None, |state| {
            let over = state.over();
            let inbound = &mut state.inbound[channel.index()];
            match (inbound.queue.pop_front(), inbound.ended, over) {
                (Some(bytes), ..) => {
                    let grant = inbound.window.consume(bytes.len());
                    Some(Ok((Some(bytes), grant)))
                }
                (None, true, _) => Some(Ok((None, None))),
                (None, false, Some(closed)) => Some(Err(closed)),
                (None, false, None) => None,
            }
        });
        let (bytes, grant) = next.unwrap_or(Err(Closed::Over))?;
        self.send_grant(channel, grant)?;
        Ok(bytes)
    }

    /// Whatever comes next, on any channel, until the deadline if there is one.
    pub fn next_event(&self, deadline: Option<Instant>) -> Event {
        let next = self.shared.wait(deadline, |state| {
            for channel in Channel::ALL {
                let inbound = &mut state.inbound[channel.index()];
                if let Some(bytes) = inbound.queue.pop_front() {
                    let grant = inbound.window.consume(bytes.len());
                    return Some((Event::Data(channel, bytes), Some((channel, grant))));
                }
            }
            let event = match (&state.outcome, &state.lost) {
                (Some(outcome), _) => Event::Closed(outcome.clone()),
                (None, Some(reason)) => Event::Lost(reason.clone()),
                (None, None) => return None,
            };
            Some((event, None))
        });
        let Some((event, grant)) = next else { return Event::Nothing };
        if let Some((channel, grant)) = grant {
            // A lost link is the next event.
            drop(self.send_grant(channel, grant));
        }
        event
    }

    fn send_grant(&self, channel: Channel, grant: Option<u32>) -> Result<(), Closed> {
        match grant {
            Some(bytes) => self.link.send(&Frame::Credit { stream: self.id, channel, bytes }),
            None => Ok(()),
        }
    }

    /// Asks the agent to send a signal to the command.
    pub fn signal(&self, signal: i32) -> Result<(), Closed> {
        self.link.send(&Frame::Signal { stream: self.id, signal })
    }

    /// Tells the agent the terminal's size.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), Closed> {
        self.link.send(&Frame::Resize { stream: self.id, rows, columns })
    }

    /// Calls `f` for every control message, from the thread that reads the port: it must not wait. What came
    /// before is handed over at once.
    pub fn on_control(&self, f: impl Fn(Control) + Send + 'static) {
        let mut handler = lock(&self.shared.on_control);
        let early = std::mem::take(&mut lock(&self.shared.state).early);
        early.into_iter().for_each(&f);
        *handler = Some(Box::new(f));
    }

    /// Ends the stream with its outcome. Only the agent does.
    pub fn close(&self, outcome: Outcome) -> Result<(), Closed> {
        let sent = self.link.send(&Frame::Close { stream: self.id, outcome: outcome.clone() });
        self.link.forget(self.id);
        self.shared.close(outcome);
        sent
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.link.forget(self.id);
        let over = lock(&self.shared.state).over().is_some();
        if !over {
            // A failed send has ended the link, and with it the stream.
            drop(self.link.send(&Frame::Cancel { stream: self.id }));
        }
    }
}
