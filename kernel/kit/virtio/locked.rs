// SPDX-License-Identifier: GPL-2.0

//! A queue whose lock is held, and what is done with it then.

use core::mem::ManuallyDrop;

use kernel::{
    prelude::*,
    sync::{rcu, CondVar}, //
};
use kit_bindings as virtio;

use super::{queue::Inner, Buffers, Chain, Handler};
use crate::compat::{SpinLockIrq, SpinLockIrqGuard};

/// Why a chain was not added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is no room, but there are chains in the queue: when one comes back, try again.
    Full,
    /// There is no memory to add it, and nothing in the queue that would come back.
    NoMemory,
    /// The device is not ready yet, or has gone, or has made a mess of the queue.
    Gone,
    /// No such chain can be added, now or later: a mistake of the driver's.
    Unfit(Unfit),
}

/// What is wrong with a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// It has more pieces than the queue takes.
    TooLong,
    /// It has no memory.
    Empty,
    /// Some of its memory is not contiguous for a device, as that of vmalloc.
    NotContiguous,
    /// A bio that writes is to be written to, or one that reads to be read.
    WrongDirection,
}

impl From<Why> for Error {
    fn from(why: Why) -> Self {
        match why {
            Why::Full => EBUSY,
            Why::NoMemory => ENOMEM,
            Why::Gone => ENODEV,
            Why::Unfit(_) => EINVAL,
        }
    }
}

/// A chain that was not added, and is its owner's again.
#[must_use = "the chain is in it"]
pub struct Refused<B: Buffers> {
    /// The chain.
    pub chain: Chain<B>,
    /// Why it was not added.
    pub why: Why,
}

impl<B: Buffers> Refused<B> {
    #[cold]
    pub(super) fn new(chain: Chain<B>, why: Why) -> Self {
        Self { chain, why }
    }
}

/// Drops the chain.
impl<B: Buffers> From<Refused<B>> for Error {
    fn from(refused: Refused<B>) -> Self {
        refused.why.into()
    }
}

/// A queue that is locked until this is dropped.
pub struct Locked<'a, H: Handler> {
    lock: &'a SpinLockIrq<Inner<H>>,
    /// Dropped in `drop()`, and nowhere else.
    inner: ManuallyDrop<SpinLockIrqGuard<'a, Inner<H>>>,
    added: bool,
}

impl<'a, H: Handler> Locked<'a, H> {
    #[inline]
    pub(super) fn new(lock: &'a SpinLockIrq<Inner<H>>) -> Self {
        Self {
            lock,
            inner: ManuallyDrop::new(lock.lock()),
            added: false,
        }
    }

    /// What the lock guards for the driver.
    #[inline]
    pub fn state(&mut self) -> &mut H::State {
        &mut self.inner.state
    }

    /// How many chains are in the queue.
    pub fn in_flight(&self) -> usize {
        self.inner.link.in_flight()
    }

    /// Adds a chain: from now on it is the queue's. The device is told when the queue is unlocked.
    #[inline]
    #[doc(alias = "virtqueue_add_sgs")]
    pub fn add(&mut self, chain: Chain<H::Buffers>) -> Result<(), Refused<H::Buffers>> {
        let inner = &mut **self.inner;
        inner.link.add(&mut inner.table, chain)?;
        self.added = true;
        Ok(())
    }

    /// Takes the next chain that the device has used, and the number of bytes that it wrote, which
    /// is never more than there was room for.
    #[inline]
    #[doc(alias = "virtqueue_get_buf")]
    pub fn pop(&mut self) -> Option<(Chain<H::Buffers>, usize)> {
        self.inner.link.pop()
    }

    /// Unlocks the queue, waits until `condition` is notified, and locks it again. Spurious ends
    /// happen. In process context.
    ///
    /// Whoever notifies has locked the queue since, or does so before: then no notification is
    /// missed.
    pub fn wait(&mut self, condition: &CondVar) {
        if core::mem::take(&mut self.added) {
            if let Some(vq) = self.inner.link.prepare_kick() {
                // SAFETY: It is live, and the lock is held.
                let notified = unsafe { virtio::virtqueue_notify(vq) };
                if !notified {
                    self.inner.link.check();
                }
            }
        }
        condition.wait(&mut self.inner);
    }

    /// Asks the device not to interrupt when it uses a chain. It may do so all the same.
    #[inline]
    #[doc(alias = "virtqueue_disable_cb")]
    pub fn disable_callbacks(&mut self) {
        self.inner.link.disable_callbacks();
    }

    /// Asks the device to interrupt again. `false` if it has used a chain already, for which it may
    /// not interrupt.
    #[inline]
    #[must_use = "what is there already must be taken"]
    #[doc(alias = "virtqueue_enable_cb")]
    pub fn enable_callbacks(&mut self) -> bool {
        self.inner.link.enable_callbacks()
    }
}

impl<H: Handler> Locked<'_, H> {
    /// The device could not be told, so nothing that it has comes back: the core has given up on the
    /// virtqueue. To be called without the lock.
    #[cold]
    fn unheard(&self) {
        self.lock.lock().link.check();
    }
}

impl<H: Handler> Drop for Locked<'_, H> {
    #[inline]
    #[doc(alias = "virtqueue_kick")]
    fn drop(&mut self) {
        let kick = if self.added {
            self.inner.link.prepare_kick()
        } else {
            None
        };
        let Some(vq) = kick else {
            // SAFETY: It is dropped here or below, once.
            return unsafe { ManuallyDrop::drop(&mut self.inner) };
        };
        // Telling the device may take long (the host takes over), so not with the lock held. The
        // virtqueue stays: whoever wants to free it disconnects the link first, which takes the
        // lock, and then waits for those who hold this one.
        let _reading = rcu::read_lock();
        // SAFETY: As above.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
        // SAFETY: The virtqueue was live under the lock, and stays as said. Notifying needs no
        // other lock.
        let notified = unsafe { virtio::virtqueue_notify(vq) };
        if !notified {
            self.unheard();
        }
    }
}
