// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a device type has to say: [`Device`] for the whole, [`Handler`] for one queue.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::metrics::Figure;
use crate::queue::Finished;

/// A device, as the guest sees it. One value serves one connection after the other: what must survive a restart of QEMU
/// lives here, what belongs to one queue of one connection in its [`Handler`].
///
/// All methods may be called at any time and from any thread.
pub trait Device: Send + Sync + 'static {
    /// Its type in the field's words, as in a [`DeviceSpec`](crate::DeviceSpec).
    fn name(&self) -> &'static str;

    /// Its virtio id (section 5 of the specification).
    fn id(&self) -> u32;

    /// The feature bits of its type. The base adds those of the transport and of the rings.
    fn features(&self) -> u64;

    /// How many queues it has, at most [`MAX_QUEUES`](crate::serve::MAX_QUEUES). Each is served by a thread of its own.
    fn queues(&self) -> usize;

    /// How many entries each of its queues should have: a power of two. A front end may make them smaller or larger.
    fn queue_size(&self) -> u16 {
        128
    }

    /// Its configuration space, as it is now.
    fn config(&self) -> Vec<u8>;

    /// The driver writes to the configuration space. The bytes may be anywhere in it, and beyond.
    fn write_config(&self, _offset: usize, _bytes: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the configuration of this device is read-only"))
    }

    /// The driver has chosen these of the features, the base's included.
    fn negotiated(&self, _features: u64) {}

    /// The device listens at this path from now on: whatever it has on the host's side begins, before the first connection.
    fn start(&self, _socket: &Path) -> Result<()> {
        Ok(())
    }

    /// A connection begins: makes what handles the chains of queue number `queue`. It is called once a queue and
    /// connection, after what it made for the connection before has been dropped.
    fn open(self: Arc<Self>, queue: usize, waker: Waker) -> Result<Box<dyn Handler>>;

    /// What it has counted by itself; the base counts chains and notifications.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }
}

/// What is done with the chains of one queue. One thread at a time has it.
///
/// For devices that answer at once, [`handle`](Self::handle) is all. Others submit in `handle`, and tell what has come
/// back in [`finished`](Self::finished), which is called whenever the queue's [`Waker`] was used.
pub trait Handler: Send {
    /// The driver has made this chain available.
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer;

    /// There are no more chains for now: what was gathered in `handle` may go out.
    fn submit(&mut self) {}

    /// Names the chains that have been finished since, those that were answered with [`Answer::Later`].
    fn finished(&mut self, _done: &mut Finished<'_>) {}

    /// The queue stops: waits until nothing is pending any more, and names what has been finished. No chain may be left.
    fn drain(&mut self, done: &mut Finished<'_>) {
        self.finished(done);
    }
}

/// What becomes of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// It goes back to the driver; the device has written so many bytes to its front.
    Done(u32),
    /// The device keeps it and completes it by its [`ticket`](Chain::ticket) later.
    Later,
    /// It stays where it is, as if the device had not looked. It is handed over again after the next
    /// [`Waker::wake`] or the next kick.
    NotYet,
    /// It has no room for an answer, not even for one that refuses: the queue stops, and the log says why.
    Broken(&'static str),
}

/// Makes the thread of a queue look again: at what is [`finished`](Handler::finished), then at the chains that wait.
///
/// It is an eventfd, which others may signal, too (`io_uring` does). Waking a queue that is gone does nothing.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker for a queue to be.
    pub fn new() -> Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(Error::system("cannot make an eventfd"))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Wakes the queue's thread.
    pub fn wake(&self) {
        // The one failure is a counter that is full, and then the thread is awake already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Takes the wakes that have come.
    pub(crate) fn take(&self) {
        let mut count = [0; 8];
        // The one failure is that none has come.
        let _ = rustix::io::read(&*self.0, &mut count);
    }
}

impl Waker {
    /// Waits until it is used, in a test that has no thread of the queue. Tells whether it was, within ten seconds.
    pub(crate) fn wait(&self) -> bool {
        let mut fds = [PollFd::new(&*self.0, PollFlags::IN)];
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
