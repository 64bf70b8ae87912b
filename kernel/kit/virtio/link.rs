// SPDX-License-Identifier: GPL-2.0

//! A queue's connection to a virtqueue of the core: where the chains are while a device has them.
//!
//! # The life of a connection
//!
//! | state | chains in the virtqueue | who calls the core on it |
//! |---|---|---|
//! | idle | there is none | nobody |
//! | live | any number | who holds the queue's lock; and to notify, who holds the RCU read lock since it did |
//! | dead | those that were left | who resets the device and drains, alone |
//!
//! It goes from top to bottom and back to idle, all under the queue's lock.

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{bindings, prelude::*};
use kit_bindings as virtio;

use super::{table::Table, Chain, Handler, Outcome, Refused, Why};

/// Whom a queue tells that its device has made a mess.
pub(super) trait Watch: Sync {
    /// The core has given up on a virtqueue: from now on nothing comes back from it. May be called
    /// in any context but an NMI, with locks held.
    fn broken(&self);
}

/// A virtqueue of the core's, and who watches over its device.
#[derive(Clone, Copy)]
pub(super) struct Connection {
    vq: NonNull<virtio::virtqueue>,
    watch: NonNull<dyn Watch>,
}

impl Connection {
    pub(super) fn new(vq: NonNull<virtio::virtqueue>, watch: NonNull<dyn Watch>) -> Self {
        Self { vq, watch }
    }

    /// How many descriptors the virtqueue has.
    #[inline]
    pub(super) fn size(&self) -> usize {
        // SAFETY: Connections are made for virtqueues that are there.
        unsafe { virtio::virtqueue_get_vring_size(self.vq.as_ptr()) as usize }
    }
}

enum State {
    Idle,
    Live(Connection),
    Dead(Connection),
}

/// A queue's connection.
///
/// # Invariants
///
/// - While the state is live or dead, the virtqueue is there, and so is the watch while it is live.
/// - `in_flight` chains are in the virtqueue. For each, the core holds an address that
///   [`Chain::into_raw`] of `Chain<H::Buffers>` gave, and nobody else does. While idle there is
///   none.
/// - While the state is live nobody else uses the virtqueue, save to notify the device, under the
///   RCU read lock that was taken while it was.
pub(super) struct Link<H: Handler> {
    state: State,
    in_flight: usize,
    _chains: PhantomData<Chain<H::Buffers>>,
}

// SAFETY: A virtqueue may be used by any task, one at a time; a watch is `Sync`; the chains are
// `Send`.
unsafe impl<H: Handler> Send for Link<H> {}

impl<H: Handler> Link<H> {
    /// No connection.
    pub(super) fn idle() -> Self {
        // INVARIANT: Nothing is there.
        Self {
            state: State::Idle,
            in_flight: 0,
            _chains: PhantomData,
        }
    }

    #[inline(always)]
    fn live(&self) -> Option<Connection> {
        match self.state {
            State::Live(connection) => Some(connection),
            _ => None,
        }
    }

    /// The virtqueue, while it is live.
    #[inline(always)]
    fn vq(&self) -> Option<*mut virtio::virtqueue> {
        self.live().map(|connection| connection.vq.as_ptr())
    }

    /// Chains that are in the virtqueue.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many descriptors the virtqueue has; 0 if there is none.
    pub(super) fn size(&self) -> usize {
        self.live().map_or(0, |connection| connection.size())
    }

    /// Whether the core has given up on the virtqueue.
    #[inline]
    pub(super) fn is_broken(&self) -> bool {
        // SAFETY: By the type invariant it is there.
        self.vq()
            .is_some_and(|vq| unsafe { virtio::virtqueue_is_broken(vq) })
    }

    /// Tells the watch if the core has given up on the virtqueue.
    pub(super) fn check(&self) {
        if let Some(connection) = self.live().filter(|_| self.is_broken()) {
            // SAFETY: By the type invariant.
            unsafe { connection.watch.as_ref() }.broken();
        }
    }

    /// Gives a chain to the virtqueue. The device is not told.
    #[inline]
    pub(super) fn add(
        &mut self,
        table: &mut Table,
        mut chain: Chain<H::Buffers>,
    ) -> Result<(), Refused<H::Buffers>> {
        let Some(vq) = self.vq() else {
            return Err(Refused::new(chain, Why::Gone));
        };
        let mut lists = match table.describe(&mut *chain) {
            Ok(lists) => lists,
            Err(unfit) => return Err(Refused::new(chain, Why::Unfit(unfit))),
        };
        chain.set_room(lists.room);
        let raw = chain.into_raw();
        // SAFETY: By the type invariant the virtqueue is there, and nobody else uses it. The lists
        // are ended, not both empty, and describe memory that was all lent out of one borrow of the
        // chain's contents: so it was all there when that was over. Since then nobody has reached
        // the contents, nor can, until the chain is taken out of the virtqueue. So the memory
        // stays, and what of it is to be written only the device uses.
        let added = unsafe {
            virtio::virtqueue_add_sgs(
                vq,
                lists.heads.as_mut_ptr(),
                lists.readable,
                lists.writable,
                raw.as_ptr(),
                bindings::GFP_ATOMIC,
            )
        };
        if added == 0 {
            // INVARIANT: The core has this address now.
            self.in_flight += 1;
            return Ok(());
        }
        // SAFETY: Just given up, and the core did not take it.
        let chain = unsafe { Chain::from_raw(raw) };
        Err(Refused::new(chain, self.why()))
    }

    /// Why the core did not take a chain.
    ///
    /// The error does not say: `EIO` is that of a broken queue, and of a packed ring for which
    /// memory could not be mapped just then, which a split ring calls `ENOMEM`.
    #[cold]
    fn why(&self) -> Why {
        if self.is_broken() {
            self.check();
            Why::Gone
        } else if self.in_flight > 0 {
            // Also what is short (memory, or room to map it) is given back with what is in flight.
            Why::Full
        } else {
            Why::NoMemory
        }
    }

    /// Takes a chain that the device has used.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Chain<H::Buffers>, usize)> {
        let used = self.get(self.vq()?);
        if used.is_none() {
            self.check();
        }
        used
    }

    /// Takes a chain that the device has used out of this virtqueue.
    ///
    /// What the device says of a chain is checked by the core: an index that is none, or is of no
    /// chain that is in the virtqueue, breaks it. The length is not.
    #[inline]
    fn get(&mut self, vq: *mut virtio::virtqueue) -> Option<(Chain<H::Buffers>, usize)> {
        let mut written = 0;
        // SAFETY: The callers' virtqueue is that of the state, so it is there, and nobody else uses
        // it.
        let raw = NonNull::new(unsafe { virtio::virtqueue_get_buf(vq, &mut written) })?;
        // SAFETY: By the type invariant; the core has forgotten it.
        let chain = unsafe { Chain::<H::Buffers>::from_raw(raw) };
        // INVARIANT: One less.
        self.in_flight -= 1;
        let written = chain.clamp(written);
        Some((chain, written))
    }

    /// Asks the device not to interrupt.
    #[inline]
    pub(super) fn disable_callbacks(&mut self) {
        if let Some(vq) = self.vq() {
            // SAFETY: By the type invariants.
            unsafe { virtio::virtqueue_disable_cb(vq) };
        }
    }

    /// Asks the device to interrupt again; false if there is something that it has used already.
    #[inline]
    pub(super) fn enable_callbacks(&mut self) -> bool {
        // SAFETY: By the type invariants.
        self.vq()
            .is_none_or(|vq| unsafe { virtio::virtqueue_enable_cb(vq) })
    }

    /// Whether the device wants to be told of what was added; then by this virtqueue.
    #[inline]
    pub(super) fn prepare_kick(&mut self) -> Option<*mut virtio::virtqueue> {
        // SAFETY: By the type invariants.
        self.vq()
            .filter(|&vq| unsafe { virtio::virtqueue_kick_prepare(vq) })
    }

    /// Connects.
    ///
    /// # Safety
    ///
    /// The link must be idle. The virtqueue must be there until the link is idle again, not be used
    /// by anybody else, and have nothing in it; the watch must be there until it is disconnected.
    pub(super) unsafe fn connect(&mut self, connection: Connection) {
        // INVARIANT: By the function's contract.
        self.state = State::Live(connection);
    }

    /// From now on nobody uses the virtqueue but who drains it.
    pub(super) fn disconnect(&mut self) {
        if let State::Live(connection) = self.state {
            self.state = State::Dead(connection);
        }
    }

    /// Takes a chain out of a dead virtqueue: those that the device had used first. `None` if that
    /// was all; then the link is idle.
    ///
    /// # Safety
    ///
    /// The device must have been reset since the link was disconnected, and nobody notify it any
    /// more.
    pub(super) unsafe fn drain(&mut self) -> Option<(Chain<H::Buffers>, Outcome)> {
        let State::Dead(connection) = self.state else {
            return None;
        };
        let vq = connection.vq.as_ptr();
        if let Some((chain, written)) = self.get(vq) {
            return Some((chain, Outcome::Used(written)));
        }
        // SAFETY: By the type invariants the virtqueue is there, and only we use it; by the
        // function's contract the device does not any more.
        let Some(raw) = NonNull::new(unsafe { virtio::virtqueue_detach_unused_buf(vq) }) else {
            // INVARIANT: The core says that it has no address any more.
            self.state = State::Idle;
            self.in_flight = 0;
            return None;
        };
        // INVARIANT: One less.
        self.in_flight -= 1;
        // SAFETY: By the type invariant; the core has forgotten it.
        Some((unsafe { Chain::from_raw(raw) }, Outcome::Unused))
    }
}

/// A queue, whatever its chains are made of, for who starts and stops the device.
pub(super) trait AnyQueue: Send + Sync {
    /// Its name.
    fn name(&self) -> &CStr;

    /// The device has used chains.
    fn notified(&self);

    /// It is stopped and drained.
    fn stopped(&self);

    /// Whether the core has given up on it.
    fn is_broken(&self) -> bool;

    /// Connects it.
    ///
    /// # Safety
    ///
    /// As for [`Link::connect`].
    unsafe fn connect(&self, connection: Connection, max_len: usize);

    /// See [`Link::disconnect`].
    fn disconnect(&self);

    /// Gives all chains back to the handler.
    ///
    /// # Safety
    ///
    /// As for [`Link::drain`].
    unsafe fn drain(&self);
}
