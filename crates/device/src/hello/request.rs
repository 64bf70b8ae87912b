// SPDX-License-Identifier: MIT OR Apache-2.0
//! Echoes: a chain as a typed request, and its answer.
//!
//! A request is judged in this order, and the first thing that is wrong is the answer: its header's length, the operation,
//! the payload's length, the checksum, and whether the answer has room.

use std::sync::Arc;

use blockyard_abi::virtio_hello as abi;
use blockyard_abi::virtio_hello::{EchoReply, EchoRequest};
use zerocopy::{FromBytes, IntoBytes};

use super::device::State;
use crate::chain::{Chain, Readable, Writable};
use crate::device::{Answer, Handler};

/// What the device holds a request against.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The longest payload, in bytes.
    pub max_message: u32,
    /// [`abi::F_CHECKSUM`] was negotiated.
    pub checksum: bool,
    /// [`abi::F_REVERSE`] was negotiated.
    pub reverse: bool,
}

/// An echo that makes sense. Its payload is in the buffer that [`read`] was given, as it goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The request's tag.
    pub tag: u32,
    /// That of the payload as it goes back, or 0 if nobody looks.
    pub checksum: u32,
}

/// Why an echo is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// One of the `STATUS_` constants.
    pub status: u32,
    /// The request's tag, or 0 if it has none.
    pub tag: u32,
}

/// Reads a request. The payload comes into `payload`, which keeps its memory from one to the next.
pub fn read(mut request: Readable<'_>, rules: Rules, payload: &mut Vec<u8>) -> Result<Accepted, Refused> {
    let mut header = [0; size_of::<EchoRequest>()];
    let short = Refused { status: abi::STATUS_LENGTH, tag: 0 };
    request.read_exact(&mut header).map_err(|_| short)?;
    let header = EchoRequest::read_from_bytes(&header).map_err(|_| short)?;
    let refused = |status| Refused { status, tag: header.tag.get() };
    let reversed = match header.op.get() {
        abi::OP_ECHO => false,
        abi::OP_REVERSE if rules.reverse => true,
        _ => return Err(refused(abi::STATUS_UNSUPPORTED)),
    };
    let length = request.len();
    // A payload above the limit is not copied.
    if length > rules.max_message as usize || header.length.get() as usize != length {
        return Err(refused(abi::STATUS_LENGTH));
    }
    // The guest may change it all the while: what counts is this copy.
    payload.resize(length, 0);
    request.read_exact(payload).map_err(|_| refused(abi::STATUS_LENGTH))?;
    if rules.checksum && abi::checksum(payload) != header.checksum.get() {
        return Err(refused(abi::STATUS_CHECKSUM));
    }
    if reversed {
        payload.reverse();
    }
    let checksum = if rules.checksum { abi::checksum(payload) } else { 0 };
    Ok(Accepted { tag: header.tag.get(), checksum })
}

/// Writes the answer; gives the number of bytes. Nothing if not even a reply has room.
fn write(mut room: Writable<'_>, outcome: Result<Accepted, Refused>, payload: &[u8]) -> (u32, u32) {
    let header = size_of::<EchoReply>();
    if room.len() < header {
        return (0, abi::STATUS_NO_ROOM);
    }
    let fits = payload.len() <= room.len() - header;
    let length = payload.len() as u32;
    let (status, tag, length, checksum, payload) = match outcome {
        Ok(Accepted { tag, checksum }) if fits => (abi::STATUS_OK, tag, length, checksum, payload),
        Ok(Accepted { tag, .. }) => (abi::STATUS_NO_ROOM, tag, length, 0, &[][..]),
        Err(Refused { status, tag }) => (status, tag, 0, 0, &[][..]),
    };
    let reply = EchoReply {
        status: status.into(),
        length: length.into(),
        checksum: checksum.into(),
        tag: tag.into(),
    };
    let written = room.write(reply.as_bytes()) + room.write(payload);
    // No more than `max_message` and a header.
    (written as u32, status)
}

/// The echo queue.
#[derive(Debug)]
pub struct Echo {
    state: Arc<State>,
    max_message: u32,
    payload: Vec<u8>,
}

impl Echo {
    pub(super) fn new(state: Arc<State>, max_message: u32) -> Self {
        Self { state, max_message, payload: Vec::new() }
    }

    fn rules(&self) -> Rules {
        Rules {
            max_message: self.max_message,
            checksum: self.state.has(abi::F_CHECKSUM),
            reverse: self.state.has(abi::F_REVERSE),
        }
    }
}

impl Handler for Echo {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        self.payload.clear();
        let outcome = read(chain.readable(), self.rules(), &mut self.payload);
        let (written, status) = write(chain.writable(), outcome, &self.payload);
        chain.note(|| format!("echo of {} bytes: status {status}", self.payload.len()));
        let counters = &self.state.counters;
        if status == abi::STATUS_OK {
            counters.echoes.add(1);
            counters.echoed.add(self.payload.len() as u64);
        } else {
            counters.refused.add(1);
        }
        Answer::Done(written)
    }
}
