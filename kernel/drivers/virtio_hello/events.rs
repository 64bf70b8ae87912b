// SPDX-License-Identifier: GPL-2.0

//! The events file: a line for each thing that happened on the host's side.
//!
//! | line | what happened |
//! |---|---|
//! | `opened 3` | a program has connected to the stream, the third so far |
//! | `closed 4096` | it has gone, and has sent so many bytes |
//! | `event 9 1` | something that this driver does not know, and its value |
//!
//! ` lost 2` at the end of a line says that the device had to drop so many events before this one.
//!
//! Lines, not structs, because there are few events, the first to look at them is a person with `cat`,
//! and a word can be added to a line without breaking a program that reads it. A `read` gives one
//! line, as reading `/dev/kmsg` does, and `EINVAL` if it has no room for it; the event stays then. Each
//! event is read once, by whoever comes first.

use core::ops::Range;

use blockyard_abi::virtio_hello as abi;
use kernel::{
    fmt,
    fs::File,
    iov::IovIterDest,
    prelude::*,
    str::Formatter,
    sync::{poll::PollTable, Arc},
};
use kit::{
    file::{self, Io, Operations},
    virtio::{Buffers, Queue, Readable, Writable},
};
use zerocopy::{FromZeros, IntoBytes};

use crate::inflow::{Fill, Inflow};

/// The longest line: two numbers and some words.
const LINE: usize = 96;

/// Room for an event.
pub(crate) struct Notice(abi::Event);

impl Buffers for Notice {
    fn describe<'a>(&'a mut self, _: &mut Readable<'a>, writable: &mut Writable<'a>) {
        writable.bytes(self.0.as_mut_bytes());
    }
}

impl Fill for Notice {
    fn empty() -> Result<Self> {
        Ok(Self(abi::Event::new_zeroed()))
    }

    /// All of it or nothing: half an event says nothing.
    fn usable(written: usize) -> usize {
        match size_of::<abi::Event>() {
            whole if written >= whole => whole,
            _ => 0,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abi::Event { kind, lost, value } = self.0;
        match kind.get() {
            abi::EVENT_OPENED => f.write_str("opened")?,
            abi::EVENT_CLOSED => f.write_str("closed")?,
            other => write!(f, "event {other}")?,
        }
        write!(f, " {value}")?;
        if lost.get() > 0 {
            write!(f, " lost {lost}")?;
        }
        f.write_str("\n")
    }
}

/// An open file.
pub(crate) struct EventsFile(Arc<Queue<Inflow<Notice>>>);

#[vtable]
impl Operations for EventsFile {
    type Shared = Queue<Inflow<Notice>>;

    fn open(queue: Arc<Self::Shared>, _: &File) -> impl PinInit<Self, Error> {
        Ok(Self(queue))
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let mut taken = Inflow::take(&self.0, io.may_wait())?;
        let mut outcome = Err(EFAULT);
        taken.read(|notice: &Notice, whole: Range<usize>| {
            outcome = give(notice, to);
            // An event that was not told stays.
            outcome.map_or(0, |_| whole.len())
        });
        outcome
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> file::Events {
        Inflow::poll(&self.0, file, table)
    }
}

/// Gives a reader the line of an event; gives its length.
fn give(notice: &Notice, to: &mut IovIterDest<'_>) -> Result<usize> {
    let mut line = [0; LINE];
    let mut text = Formatter::new(&mut line);
    fmt::Write::write_fmt(&mut text, fmt!("{notice}")).map_err(|_| EMSGSIZE)?;
    let len = text.bytes_written();
    if to.len() < len {
        return Err(EINVAL);
    }
    match to.copy_to_iter(&line[..len]) {
        copied if copied == len => Ok(len),
        _ => Err(EFAULT),
    }
}
