// SPDX-License-Identifier: MIT OR Apache-2.0
//! One message of the driver: bytes to read, then room to write.
//!
//! A driver lays a message out as a chain of descriptors, cut wherever it likes: "the framing of messages with
//! descriptors is independent of the contents of the buffers" (virtio 1.2, 2.7.4). So a device never sees descriptors. It
//! sees one run of bytes that it reads, [`Readable`], and one that it writes, [`Writable`]; each can be split
//! at any byte, so that a header, data and a status are taken off in the protocol's own terms.
//!
//! [`walk`] turns descriptors into these runs, and is where a hostile chain ends. What comes out of it are slices of
//! guest memory that exist. Their *contents* may still change at any moment, as the guest runs on: read a field once
//! into a value of your own, and check that.

mod span;
pub mod walk;

use vm_memory::{GuestAddress, VolatileSlice};

pub use self::span::{Readable, Short, Writable};
use crate::MemoryHold;
use crate::queue::Ticket;
use crate::trace::Request;

/// A piece of a message that is contiguous in our memory.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'m> {
    /// Where the driver has it.
    pub address: GuestAddress,
    /// Where we have it.
    pub slice: VolatileSlice<'m, ()>,
}

/// A chain that the driver has made available.
#[derive(Debug)]
pub struct Chain<'a> {
    pieces: &'a [Piece<'a>],
    readable: usize,
    ticket: Ticket,
    hold: &'a MemoryHold,
    trace: Option<&'a Request>,
}

impl<'a> Chain<'a> {
    /// The first `readable` of the pieces are for reading, the others for writing.
    pub(crate) fn new(
        pieces: &'a [Piece<'a>],
        readable: usize,
        ticket: Ticket,
        hold: &'a MemoryHold,
        trace: Option<&'a Request>,
    ) -> Self {
        Self { pieces, readable, ticket, hold, trace }
    }

    /// What the driver says.
    pub fn readable(&self) -> Readable<'a> {
        Readable::new(&self.pieces[..self.readable])
    }

    /// Room for the answer.
    pub fn writable(&self) -> Writable<'a> {
        Writable::new(&self.pieces[self.readable..])
    }

    /// What it is completed by, if it is completed later.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Keeps the memory that this chain lies in mapped, for a request that goes on after
    /// [`Handler::handle`](crate::Handler::handle) has returned.
    pub fn hold(&self) -> MemoryHold {
        self.hold.clone()
    }

    /// Tells a reader of the trace what the device makes of this chain. The sentence is made only if there is one.
    pub fn note(&self, sentence: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace.note(&sentence());
        }
    }
}
