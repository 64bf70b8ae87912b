// SPDX-License-Identifier: GPL-2.0

//! The echo file: what is written is a message, and what is read its reply.
//!
//! Each opener has messages of its own and reads its own replies, in the order in which it wrote. One
//! `write` is one message, of at most `max_message` bytes (`EMSGSIZE`). A `read` gives of one reply
//! only; what it has no room for comes with the next. A reply that is an error is one of `read`:
//!
//! | `read` fails with | the device |
//! |---|---|
//! | `EOPNOTSUPP` | knows no such operation, or was not allowed to |
//! | `EBADMSG` | has found, or made, a wrong checksum |
//! | `EMSGSIZE` | finds the message too long |
//! | `EPROTO` | has answered what makes no sense |
//! | `ENODEV` | has gone |
//!
//! A file has a limited number of messages on their way and replies unread, after which `write` waits.
//! `read` waits for a reply even if there is no message whose it could be: another thread may write
//! one.

use blockyard_abi::virtio_hello as abi;
use blockyard_abi::virtio_hello_echo as ioctl;
use blockyard_abi::virtio_hello_echo::Way;
use kernel::{
    fs::File,
    iov::{IovIterDest, IovIterSource},
    new_mutex,
    prelude::*,
    sync::{poll::PollTable, Arc, Mutex},
};
use kit::{
    errno::EOPNOTSUPP,
    file::{Events, Io, Operations},
    ioctl::Call,
    virtio::{Chain, Queue},
};

use crate::{
    echo::{Echo, Open, Reply},
    facts::Facts,
    message::Message,
};

/// What all openers share.
pub(crate) struct Shared {
    pub(crate) queue: Arc<Queue<Echo>>,
    pub(crate) facts: Facts,
}

/// An open file.
#[pin_data]
pub(crate) struct EchoFile {
    inbox: Open,
    #[pin]
    way: Mutex<Way>,
    shared: Arc<Shared>,
}

#[vtable]
impl Operations for EchoFile {
    type Shared = Shared;

    fn open(shared: Arc<Shared>, _: &File) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            inbox: Open::new(&shared.queue)?,
            way <- new_mutex!(Way::default(), "EchoFile::way"),
            shared,
        })
    }

    fn write(&self, io: Io<'_>, from: &mut IovIterSource<'_>) -> Result<usize> {
        let len = from.len();
        if len == 0 {
            return Ok(0);
        }
        if len > self.shared.facts.max_message {
            return Err(EMSGSIZE);
        }
        let place = self.inbox.place(io.may_wait())?;
        let way = *self.way.lock();
        let descriptors = self.shared.queue.size();
        let (checksums, inbox) = (self.has_checksums(), self.inbox.index());
        let message = Message::read(from, way, checksums, descriptors, inbox)?;
        let message = Chain::new(message, GFP_KERNEL_ACCOUNT)?;
        self.inbox.send(place, message, io.may_wait())?;
        Ok(len)
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let reply = self.inbox.take(io.may_wait())?;
        self.give(reply, to)
    }

    fn ioctl(&self, _: &File, call: Call) -> Result<isize> {
        call.on(ioctl::SET_WAY, |way| self.set_way(way))
            .on(ioctl::GET_WAY, |()| Ok(*self.way.lock()))
            .answer()
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> Events {
        self.inbox.poll(file, table)
    }
}

impl EchoFile {
    fn has_checksums(&self) -> bool {
        self.shared.facts.agreed.has(abi::F_CHECKSUM)
    }

    /// Gives a reader what it has room for of a reply; the rest goes back.
    fn give(&self, mut reply: Reply, to: &mut IovIterDest<'_>) -> Result<usize> {
        if reply.read == 0 {
            let judgement = reply.message.judge(reply.written, self.has_checksums());
            if let Err(error) = judgement {
                drop(reply);
                self.inbox.release();
                return Err(error);
            }
        }
        let copied = reply.message.write(reply.read, to);
        reply.read += copied;
        if reply.read < reply.message.len() {
            self.inbox.put_back(reply);
        } else {
            drop(reply);
            self.inbox.release();
        }
        match copied {
            0 => Err(EFAULT),
            copied => Ok(copied),
        }
    }

    fn set_way(&self, way: Way) -> Result {
        match way.op {
            abi::OP_ECHO => {}
            abi::OP_REVERSE if self.shared.facts.agreed.has(abi::F_REVERSE) => {}
            abi::OP_REVERSE => return Err(EOPNOTSUPP),
            _ => return Err(EINVAL),
        }
        if way.reserved != 0 {
            return Err(EINVAL);
        }
        *self.way.lock() = way;
        Ok(())
    }
}
