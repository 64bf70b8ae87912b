// SPDX-License-Identifier: GPL-2.0

//! The stream file: bytes to and from a program of the host.
//!
//! Both ways at once, and independent of each other. A `read` gives what has come, and waits only if
//! that is nothing. A `write` waits until the device's side has taken over all of it, or a signal
//! comes; up to [`PIECE`] bytes at once are not mixed with what others write. Whether a program of
//! the host is there to read them does not matter until the device has no more room for them.

use core::ops::Range;

use kernel::{
    fs::File,
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    sync::{poll::PollTable, Arc},
};
use kit::{
    file::{Events, Io, Operations},
    virtio::{Buffers, Queue, Readable, Writable},
};

use crate::{
    inflow::{Fill, Inflow},
    outflow::Outflow,
};

/// How many bytes a piece of a stream has at most.
pub(crate) const PIECE: usize = 4096;

/// Room for bytes from the host.
pub(crate) struct Piece(KVec<u8>);

impl Buffers for Piece {
    fn describe<'a>(&'a mut self, _: &mut Readable<'a>, writable: &mut Writable<'a>) {
        writable.bytes(&mut self.0);
    }
}

impl Fill for Piece {
    fn empty() -> Result<Self> {
        Ok(Self(KVec::from_elem(0, PIECE, GFP_KERNEL)?))
    }

    fn usable(written: usize) -> usize {
        written.min(PIECE)
    }
}

/// What all openers share.
pub(crate) struct Streams {
    pub(crate) input: Arc<Queue<Inflow<Piece>>>,
    pub(crate) output: Arc<Queue<Outflow>>,
}

/// An open file.
pub(crate) struct StreamFile(Arc<Streams>);

#[vtable]
impl Operations for StreamFile {
    type Shared = Streams;

    fn open(streams: Arc<Streams>, _: &File) -> impl PinInit<Self, Error> {
        Ok(Self(streams))
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        let mut copied = 0;
        while !to.is_empty() {
            // What was read counts, and nobody waits to read more.
            let may_wait = io.may_wait() && copied == 0;
            let mut taken = match Inflow::take(&self.0.input, may_wait) {
                Ok(taken) => taken,
                Err(error) => return counted(copied, error),
            };
            let mut faulted = false;
            copied += taken.read(|piece: &Piece, range: Range<usize>| {
                let wanted = range.len().min(to.len());
                let got = to.copy_to_iter(&piece.0[range][..wanted]);
                faulted = got < wanted;
                got
            });
            if faulted {
                return counted(copied, EFAULT);
            }
        }
        Ok(copied)
    }

    fn write(&self, io: Io<'_>, from: &mut IovIterSource<'_>) -> Result<usize> {
        let mut sent = 0;
        while !from.is_empty() {
            match Outflow::send(&self.0.output, io.may_wait(), from) {
                Ok(len) => sent += len,
                Err(error) => return counted(sent, error),
            }
        }
        Ok(sent)
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> Events {
        Inflow::poll(&self.0.input, file, table) | Outflow::poll(&self.0.output, file, table)
    }
}

/// What has been done counts; an error is told only if that is nothing.
fn counted(bytes: usize, error: Error) -> Result<usize> {
    match bytes {
        0 => Err(error),
        bytes => Ok(bytes),
    }
}
