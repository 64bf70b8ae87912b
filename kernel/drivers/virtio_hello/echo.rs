// SPDX-License-Identifier: GPL-2.0

//! The echo queue: messages of all files go through it, and each reply finds its file.
//!
//! A file has an [`Inbox`] behind the queue's lock, where replies wait until they are read, in the
//! order of their messages. Its index travels with the message. An inbox that is closed while
//! messages of its are with the device goes when the last of them has come back, so none of them is
//! ever put into another's.
//!
//! All who wait for something of the queue wait in one place. There are few of them, and most of
//! those who are woken for nothing look at one number.

use blockyard_abi::virtio_hello_echo::MOST_MESSAGES;
use kernel::{alloc::flags::GFP_ATOMIC, fs::File, prelude::*, sync::poll::PollTable, sync::Arc};
use kit::{
    file::Events,
    virtio::{Chain, Handler, Outcome, Queue, Refused, Why},
    waiters::Waiters,
};

use crate::{message::Message, waiting::until};

/// The queue's handler.
#[pin_data]
pub(crate) struct Echo {
    #[pin]
    waiters: Waiters,
}

impl Echo {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            waiters <- Waiters::new(),
        })
    }
}

impl Handler for Echo {
    type Buffers = Message;
    type State = Inboxes;

    fn back(&self, queue: &Queue<Self>, chain: Chain<Message>, outcome: Outcome) {
        let mut held = queue.lock();
        let state = held.state();
        state.full = false;
        let unwanted = state.deliver(chain, outcome);
        drop(held);
        drop(unwanted);
        self.waiters.wake();
    }

    fn stopped(&self, queue: &Queue<Self>) {
        queue.lock().state().gone = true;
        self.waiters.wake();
    }
}

/// What the queue's lock guards.
pub(crate) struct Inboxes {
    inboxes: KVec<Option<Inbox>>,
    /// A message was refused for want of room, and nothing has come back since.
    full: bool,
    /// The device has gone, and everything has come back.
    gone: bool,
}

/// What a file waits for.
struct Inbox {
    open: bool,
    /// Messages that the queue has.
    in_flight: usize,
    /// Places that are taken: by these, by replies that are not read, and by messages to be.
    taken: usize,
    /// The tag of the next message.
    next: u32,
    /// The tag of the message whose reply is read next.
    expected: u32,
    /// Replies that are not read, in the order of their tags. There is room for all that can come.
    replies: KVec<Reply>,
}

/// A message that has come back.
pub(crate) struct Reply {
    pub(crate) message: Chain<Message>,
    /// How many bytes the device says that it has written.
    pub(crate) written: usize,
    /// How many bytes of the payload were read by the file's reader. (It is judged before the first.)
    pub(crate) read: usize,
}

/// Whether a tag is before another one, or it. They are counted round and round.
fn is_up_to(tag: u32, other: u32) -> bool {
    other.wrapping_sub(tag) < u32::MAX / 2
}

impl Inboxes {
    pub(crate) fn new() -> Self {
        Self {
            inboxes: KVec::new(),
            full: false,
            gone: false,
        }
    }

    fn get(&mut self, index: usize) -> Result<&mut Inbox> {
        self.inboxes
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(EBADF)
    }

    fn open(&mut self, inbox: Inbox) -> Result<usize> {
        if self.gone {
            return Err(ENODEV);
        }
        if let Some(index) = self.inboxes.iter().position(Option::is_none) {
            self.inboxes[index] = Some(inbox);
            return Ok(index);
        }
        self.inboxes.push(Some(inbox), GFP_ATOMIC)?;
        Ok(self.inboxes.len() - 1)
    }

    /// Puts a reply into its inbox; gives what is to be dropped instead, once the lock is not held.
    fn deliver(&mut self, chain: Chain<Message>, outcome: Outcome) -> Option<Unwanted> {
        let index = chain.inbox;
        let slot = self.inboxes.get_mut(index)?;
        let inbox = slot.as_mut()?;
        inbox.in_flight -= 1;
        match outcome {
            Outcome::Used(written) if inbox.open => {
                inbox.put(Reply {
                    message: chain,
                    written,
                    read: 0,
                });
                None
            }
            _ => {
                let ended = !inbox.open && inbox.in_flight == 0;
                Some(Unwanted {
                    _chain: chain,
                    _inbox: if ended { slot.take() } else { None },
                })
            }
        }
    }

    /// Closes an inbox; gives it if nothing of it is on its way.
    fn close(&mut self, index: usize) -> (KVec<Reply>, Option<Inbox>) {
        let Some(slot) = self.inboxes.get_mut(index) else {
            return (KVec::new(), None);
        };
        let Some(inbox) = slot else {
            return (KVec::new(), None);
        };
        inbox.open = false;
        let replies = core::mem::take(&mut inbox.replies);
        let ended = inbox.in_flight == 0;
        (replies, if ended { slot.take() } else { None })
    }
}

/// What nobody reads.
struct Unwanted {
    _chain: Chain<Message>,
    _inbox: Option<Inbox>,
}

impl Inbox {
    fn new() -> Result<Self> {
        Ok(Self {
            open: true,
            in_flight: 0,
            taken: 0,
            next: 0,
            expected: 0,
            replies: KVec::with_capacity(MOST_MESSAGES, GFP_KERNEL_ACCOUNT)?,
        })
    }

    /// Puts a reply where its tag belongs.
    fn put(&mut self, reply: Reply) {
        let tag = reply.message.tag();
        let later = |other: &Reply| !is_up_to(other.message.tag(), tag);
        let at = self.replies.iter().position(later);
        let at = at.unwrap_or(self.replies.len());
        // Each has a place, so there is room.
        drop(self.replies.insert_within_capacity(at, reply));
    }

    /// Whether the next reply to be read is there.
    fn is_readable(&self) -> bool {
        let first = self.replies.first();
        first.is_some_and(|reply| is_up_to(reply.message.tag(), self.expected))
    }

    fn take(&mut self) -> Option<Reply> {
        if !self.is_readable() {
            return None;
        }
        let reply = self.replies.remove(0).ok()?;
        if reply.message.tag() == self.expected {
            self.expected = self.expected.wrapping_add(1);
        }
        Some(reply)
    }
}

/// An open inbox, closed when dropped.
pub(crate) struct Open {
    queue: Arc<Queue<Echo>>,
    index: usize,
}

/// The right to send a message and to have its reply.
pub(crate) struct Place<'a>(&'a Open);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Open {
    pub(crate) fn new(queue: &Arc<Queue<Echo>>) -> Result<Self> {
        let inbox = Inbox::new()?;
        Ok(Self {
            index: queue.lock().state().open(inbox)?,
            queue: queue.clone(),
        })
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    fn waiters(&self) -> &Waiters {
        &self.queue.handler().waiters
    }

    /// Takes a place for a message; waits for one, if it may. `ENODEV` if the device has gone.
    pub(crate) fn place(&self, may_wait: bool) -> Result<Place<'_>> {
        until(self.waiters(), may_wait, || {
            let mut held = self.queue.lock();
            let state = held.state();
            if state.gone {
                return Err(ENODEV);
            }
            let full = state.full;
            let inbox = state.get(self.index)?;
            if full || inbox.taken == MOST_MESSAGES {
                return Err(EAGAIN);
            }
            inbox.taken += 1;
            Ok(Place(self))
        })
    }

    /// Gives a place back.
    pub(crate) fn release(&self) {
        let mut was_full = false;
        if let Ok(inbox) = self.queue.lock().state().get(self.index) {
            was_full = inbox.taken == MOST_MESSAGES;
            inbox.taken -= 1;
        }
        if was_full {
            self.waiters().wake();
        }
    }

    /// Sends a message; if the queue is full, waits until it is not, if it may.
    pub(crate) fn send(
        &self,
        place: Place<'_>,
        mut message: Chain<Message>,
        may_wait: bool,
    ) -> Result {
        while let Err(Refused { chain, why }) = self.add(message) {
            if why != Why::Full {
                return Err(why.into());
            }
            message = chain;
            until(self.waiters(), may_wait, || {
                let mut held = self.queue.lock();
                let state = held.state();
                if state.full && !state.gone {
                    return Err(EAGAIN);
                }
                Ok(())
            })?;
        }
        // From here on it is the message's, and whoever reads the reply gives it back.
        core::mem::forget(place);
        Ok(())
    }

    /// Adds a message to the queue, as the next one of this inbox.
    fn add(&self, mut message: Chain<Message>) -> Result<(), Refused<Message>> {
        let mut held = self.queue.lock();
        let Ok(inbox) = held.state().get(self.index) else {
            let chain = message;
            let why = Why::Gone;
            return Err(Refused { chain, why });
        };
        message.set_tag(inbox.next);
        let added = held.add(message);
        let state = held.state();
        match &added {
            Ok(()) => {
                if let Ok(inbox) = state.get(self.index) {
                    inbox.next = inbox.next.wrapping_add(1);
                    inbox.in_flight += 1;
                }
            }
            Err(refused) => state.full = refused.why == Why::Full,
        }
        added
    }

    /// Takes the next reply; waits for it, if it may. `ENODEV` if none will come any more.
    pub(crate) fn take(&self, may_wait: bool) -> Result<Reply> {
        until(self.waiters(), may_wait, || {
            let mut held = self.queue.lock();
            let state = held.state();
            let gone = state.gone;
            let reply = state.get(self.index)?.take();
            reply.ok_or(if gone { ENODEV } else { EAGAIN })
        })
    }

    /// Puts a reply back of which there is more to be read.
    pub(crate) fn put_back(&self, reply: Reply) {
        if let Ok(inbox) = self.queue.lock().state().get(self.index) {
            inbox.put(reply);
        }
        self.waiters().wake();
    }

    /// What can be done without waiting.
    pub(crate) fn poll(&self, file: &File, table: &PollTable<'_>) -> Events {
        self.waiters().register(file, table);
        let mut held = self.queue.lock();
        let state = held.state();
        if state.gone {
            return Events::READABLE | Events::WRITABLE | Events::HANG_UP;
        }
        let full = state.full;
        let Ok(inbox) = state.get(self.index) else {
            return Events::NONE;
        };
        let mut events = Events::NONE;
        if inbox.is_readable() {
            events = events | Events::READABLE;
        }
        if !full && inbox.taken < MOST_MESSAGES {
            events = events | Events::WRITABLE;
        }
        events
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // What it gives is dropped after the lock is.
        let left = self.queue.lock().state().close(self.index);
        drop(left);
    }
}
