// SPDX-License-Identifier: GPL-2.0

//! Chains that carry bytes to the device, and wait in its queue to be taken.
//!
//! There is a fixed number of them, made when the device starts. So a write takes no memory, and a
//! device that takes nothing holds up who writes, and no more.

use kernel::{fmt, fs::File, iov::IovIterSource, prelude::*, sync::poll::PollTable, sync::Arc};
use kit::{
    file::Events,
    virtio::{Buffers, Chain, Driver, Handler, Outcome, Queue, Readable, Refused, Setup, Writable},
    waiters::Waiters,
};

use crate::{stream::PIECE, waiting::until};

/// Bytes on their way to the device.
pub(crate) struct Load {
    bytes: KVec<u8>,
    len: usize,
}

impl Buffers for Load {
    fn describe<'a>(&'a mut self, readable: &mut Readable<'a>, _: &mut Writable<'a>) {
        readable.bytes(&self.bytes[..self.len]);
    }
}

/// The handler of such a queue.
#[pin_data]
pub(crate) struct Outflow {
    #[pin]
    waiters: Waiters,
}

/// What the queue's lock guards.
pub(crate) struct Free {
    /// Chains that are not with the device.
    chains: KVec<Chain<Load>>,
    /// The device has gone.
    gone: bool,
}

/// Makes the next queue of a device such a queue, for so many chains.
pub(crate) fn queue<T: Driver>(
    setup: &mut Setup<'_, T>,
    name: fmt::Arguments<'_>,
    chains: usize,
) -> Result<Arc<Queue<Outflow>>> {
    let free = Free {
        chains: KVec::with_capacity(chains, GFP_KERNEL)?,
        gone: false,
    };
    let handler = try_pin_init!(Outflow {
        waiters <- Waiters::new(),
    });
    setup.queue(name, 1, free, handler)
}

impl Handler for Outflow {
    type Buffers = Load;
    type State = Free;

    fn back(&self, queue: &Queue<Self>, chain: Chain<Load>, _: Outcome) {
        // What was in it is the device's now, or lost with it.
        self.put(queue, chain);
    }

    fn stopped(&self, queue: &Queue<Self>) {
        queue.lock().state().gone = true;
        self.waiters.wake();
    }
}

impl Outflow {
    /// Makes so many chains, or as many as the queue takes.
    pub(crate) fn fill(queue: &Queue<Self>, chains: usize) -> Result {
        for _ in 0..chains.min(queue.size()) {
            let load = Load {
                bytes: KVec::from_elem(0, PIECE, GFP_KERNEL)?,
                len: 0,
            };
            queue.handler().put(queue, Chain::new(load, GFP_KERNEL)?);
        }
        Ok(())
    }

    /// A chain is free.
    fn put(&self, queue: &Queue<Self>, chain: Chain<Load>) {
        let mut held = queue.lock();
        // There is room for as many as there are.
        let unwanted = held.state().chains.push_within_capacity(chain);
        drop(held);
        drop(unwanted);
        self.waiters.wake();
    }

    /// Takes a free chain; waits for one, if it may.
    fn take(queue: &Queue<Self>, may_wait: bool) -> Result<Chain<Load>> {
        until(&queue.handler().waiters, may_wait, || {
            let mut held = queue.lock();
            let state = held.state();
            if state.gone {
                return Err(ENODEV);
            }
            state.chains.pop().ok_or(EAGAIN)
        })
    }

    /// Sends one chain's worth of what a program has written; gives how much that was.
    pub(crate) fn send(
        queue: &Queue<Self>,
        may_wait: bool,
        from: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        let mut chain = Self::take(queue, may_wait)?;
        let wanted = from.len().min(PIECE);
        let len = from.copy_from_iter(&mut chain.bytes[..wanted]);
        chain.len = len;
        if len == 0 {
            queue.handler().put(queue, chain);
            return Err(EFAULT);
        }
        // There are no more chains than the queue takes.
        if let Err(Refused { chain, why }) = queue.add(chain) {
            queue.handler().put(queue, chain);
            return Err(why.into());
        }
        Ok(len)
    }

    /// Whether something can be written without waiting.
    pub(crate) fn poll(queue: &Queue<Self>, file: &File, table: &PollTable<'_>) -> Events {
        queue.handler().waiters.register(file, table);
        let mut held = queue.lock();
        let state = held.state();
        match (state.gone, state.chains.is_empty()) {
            (true, _) => Events::WRITABLE | Events::HANG_UP,
            (false, false) => Events::WRITABLE,
            (false, true) => Events::NONE,
        }
    }
}
