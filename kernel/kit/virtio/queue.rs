// SPDX-License-Identifier: GPL-2.0

//! A virtqueue, which owns the chains that are in it.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

use super::{
    link::{AnyQueue, Link},
    locked::Locked,
    table::Table,
    Chain, Handler, Outcome, Refused,
};
use crate::compat::{new_spinlock_irq, SpinLockIrq};

/// How many chains [`Queue::take_used`] takes under one hold of the lock.
const BATCH: usize = 16;

/// What a queue's lock guards.
pub(super) struct Inner<H: Handler> {
    pub(super) link: Link<H>,
    pub(super) table: Table,
    pub(super) state: H::State,
}

// Nothing of it is pinned: the state is the driver's to move.
impl<H: Handler> Unpin for Inner<H> {}

/// A virtqueue of a device, with its handler, and the chains that are in it.
///
/// It exists before the device is ready and after it has gone. Then it is empty, and a chain that
/// is to be added is refused ([`Why::Gone`](super::Why)).
#[pin_data]
pub struct Queue<H: Handler> {
    name: CString,
    #[pin]
    inner: SpinLockIrq<Inner<H>>,
    #[pin]
    handler: H,
}

impl<H: Handler> Queue<H> {
    /// A queue without a device.
    pub(super) fn new(
        name: CString,
        max_entries: usize,
        state: H::State,
        handler: impl PinInit<H, Error>,
    ) -> Result<Arc<Self>> {
        let inner = Inner {
            link: Link::idle(),
            table: Table::new(max_entries)?,
            state,
        };
        Arc::pin_init(
            try_pin_init!(Self {
                name,
                inner <- new_spinlock_irq!(inner, "Queue::inner"),
                handler <- handler,
            }),
            GFP_KERNEL,
        )
    }

    /// The driver's side.
    #[inline]
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// How many descriptors the queue has, which is the most chains that can be in it; 0 without a
    /// device.
    pub fn size(&self) -> usize {
        self.inner.lock().link.size()
    }

    /// Locks the queue: for steps that belong together, and for the state that the lock guards.
    ///
    /// Interrupts are off meanwhile. Dropping what this gives unlocks it, and then tells the device
    /// of what was added, if it wants to know.
    #[inline]
    pub fn lock(&self) -> Locked<'_, H> {
        Locked::new(&self.inner)
    }

    /// Adds a chain, and tells the device.
    #[inline]
    pub fn add(&self, chain: Chain<H::Buffers>) -> Result<(), Refused<H::Buffers>> {
        self.lock().add(chain)
    }

    /// Takes the next chain that the device has used, and the number of bytes it wrote.
    #[inline]
    pub fn pop(&self) -> Option<(Chain<H::Buffers>, usize)> {
        self.lock().pop()
    }

    /// Hands all chains that the device has used to [`Handler::back`]. The device is asked not to
    /// interrupt meanwhile.
    pub fn take_used(&self) {
        let mut more = true;
        while more {
            let mut batch = [const { None }; BATCH];
            let mut locked = self.lock();
            locked.disable_callbacks();
            let mut taken = 0;
            while taken < BATCH {
                let Some(used) = locked.pop() else { break };
                batch[taken] = Some(used);
                taken += 1;
            }
            more = taken == BATCH || !locked.enable_callbacks();
            drop(locked);
            for (chain, written) in batch.into_iter().flatten() {
                self.handler.back(self, chain, Outcome::Used(written));
            }
        }
    }
}

impl<H: Handler> AnyQueue for Queue<H> {
    fn name(&self) -> &CStr {
        &self.name
    }

    fn notified(&self) {
        self.handler.notified(self);
    }

    fn stopped(&self) {
        self.handler.stopped(self);
    }

    fn is_broken(&self) -> bool {
        self.inner.lock().link.is_broken()
    }

    unsafe fn connect(&self, connection: super::link::Connection, max_len: usize) {
        let mut inner = self.inner.lock();
        inner.table.restrict(connection.size(), max_len);
        // SAFETY: By the function's contract.
        unsafe { inner.link.connect(connection) };
    }

    fn disconnect(&self) {
        self.inner.lock().link.disconnect();
    }

    unsafe fn drain(&self) {
        loop {
            // One at a time: the handler is called without the lock, and may take it.
            // SAFETY: By the function's contract.
            let chain = unsafe { self.inner.lock().link.drain() };
            let Some((chain, outcome)) = chain else { break };
            self.handler.back(self, chain, outcome);
        }
    }
}
