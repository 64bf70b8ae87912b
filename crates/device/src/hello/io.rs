// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stream queues and the event queue. Each waits for the other side by leaving its chain where it is.

use std::sync::Arc;

use blockyard_abi::virtio_hello as abi;
use blockyard_abi::virtio_hello::Event;
use zerocopy::IntoBytes;

use super::device::State;
use crate::bridge::Moment;
use crate::chain::Chain;
use crate::device::{Answer, Handler};
use crate::queue::Finished;

/// Bytes from the host to the guest.
pub(super) struct StreamIn {
    pub(super) state: Arc<State>,
}

impl Handler for StreamIn {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        if !chain.readable().is_empty() || chain.writable().is_empty() {
            return Answer::Broken("the stream to the guest takes room for bytes, and nothing else");
        }
        match self.state.bridge.give(&mut chain.writable()) {
            0 => Answer::NotYet,
            given => {
                chain.note(|| format!("{given} bytes from the host"));
                self.state.counters.to_guest.add(given as u64);
                // A chain has less than 4 GiB.
                Answer::Done(given as u32)
            }
        }
    }
}

/// Bytes from the guest to the host.
pub(super) struct StreamOut {
    pub(super) state: Arc<State>,
    /// How much of the first chain is in the stream already: more than it ever holds goes in pieces.
    pub(super) taken: usize,
}

impl Handler for StreamOut {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        if !chain.writable().is_empty() {
            return Answer::Broken("the stream from the guest takes bytes, and nothing else");
        }
        let Ok((_, mut rest)) = chain.readable().split_at(self.taken) else {
            return Answer::Broken("it has become shorter while it waited");
        };
        let taken = self.state.bridge.take(&mut rest);
        self.state.counters.from_guest.add(taken as u64);
        if !rest.is_empty() {
            self.taken += taken;
            return Answer::NotYet;
        }
        self.taken = 0;
        chain.note(|| format!("{} bytes to the host", chain.readable().len()));
        Answer::Done(0)
    }

    /// The driver gets the chain back, and may never offer it again.
    fn drain(&mut self, _done: &mut Finished<'_>) {
        self.taken = 0;
    }
}

/// What happened.
pub(super) struct Events {
    pub(super) state: Arc<State>,
}

impl Handler for Events {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        if !self.state.has(abi::F_EVENTS) {
            return Answer::NotYet;
        }
        let mut room = chain.writable();
        if !chain.readable().is_empty() || room.len() < size_of::<Event>() {
            return Answer::Broken("the event queue takes room for an event, and nothing else");
        }
        let Some((moment, lost)) = self.state.bridge.next_moment() else { return Answer::NotYet };
        let (kind, value) = match moment {
            Moment::Opened(programs) => (abi::EVENT_OPENED, programs),
            Moment::Closed(sent) => (abi::EVENT_CLOSED, sent),
        };
        chain.note(|| format!("event {kind}, {value}"));
        self.state.counters.events.add(1);
        let event = Event { kind: kind.into(), lost: lost.into(), value: value.into() };
        Answer::Done(room.write(event.as_bytes()) as u32)
    }
}
