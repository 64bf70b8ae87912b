// SPDX-License-Identifier: GPL-2.0

//! Chains that wait in a queue for the device to fill them.
//!
//! A chain that the device has filled stays in the queue until somebody reads it, and goes back to the
//! device when all of it was read. So if nobody reads, the device has nowhere to put more, and it is
//! the device that waits, or counts what it loses. There is no buffer between, and nothing to be
//! done in an interrupt but to wake who waits.
//!
//! One reads at a time, or the order of what is read would be lost. The lock cannot be held
//! meanwhile, as memory of the reader's may have to be fetched; so who reads takes the chain out, and
//! marks that.

use core::{marker::PhantomData, ops::Range};

use kernel::{current, fmt, fs::File, prelude::*, sync::poll::PollTable, sync::Arc};
use kit::{
    file::Events,
    virtio::{Buffers, Chain, Driver, Handler, Locked, Outcome, Queue, Refused, Setup, Why},
    waiters::Waiters,
};

use crate::waiting::until;

/// A chain that a device fills.
pub(crate) trait Fill: Buffers {
    /// An empty one.
    fn empty() -> Result<Self>;

    /// How much of it there is to be read, if the device has written so many bytes.
    fn usable(written: usize) -> usize;
}

/// The handler of such a queue.
#[pin_data]
pub(crate) struct Inflow<B: Fill> {
    #[pin]
    waiters: Waiters,
    _chains: PhantomData<fn() -> B>,
}

/// What the queue's lock guards.
pub(crate) struct Level<B: Fill> {
    /// What is read next, or the rest of it.
    next: Option<Filled<B>>,
    /// What the device had filled when it went, the oldest first.
    left: KVec<Filled<B>>,
    /// Chains that the queue had no memory for.
    spare: KVec<Chain<B>>,
    /// Somebody reads.
    reading: bool,
    /// And somebody else has wanted to.
    wanted: bool,
    /// The device has gone, and everything has come back.
    gone: bool,
}

/// A chain that was filled, from `read` up to `until`.
pub(crate) struct Filled<B: Fill> {
    chain: Chain<B>,
    read: usize,
    until: usize,
}

impl<B: Fill> Filled<B> {
    fn new((chain, written): (Chain<B>, usize)) -> Self {
        Self {
            chain,
            read: 0,
            until: B::usable(written),
        }
    }
}

/// Makes the next queue of a device such a queue, for so many chains.
pub(crate) fn queue<B: Fill, T: Driver>(
    setup: &mut Setup<'_, T>,
    name: fmt::Arguments<'_>,
    chains: usize,
) -> Result<Arc<Queue<Inflow<B>>>> {
    let level = Level {
        next: None,
        left: KVec::with_capacity(chains, GFP_KERNEL)?,
        spare: KVec::with_capacity(chains, GFP_KERNEL)?,
        reading: false,
        wanted: false,
        gone: false,
    };
    let handler = try_pin_init!(Inflow {
        waiters <- Waiters::new(),
        _chains: PhantomData,
    });
    setup.queue(name, 1, level, handler)
}

impl<B: Fill> Handler for Inflow<B> {
    type Buffers = B;
    type State = Level<B>;

    fn notified(&self, _: &Queue<Self>) {
        self.waiters.wake();
    }

    /// Only when the queue is stopped: see `notified`.
    fn back(&self, queue: &Queue<Self>, chain: Chain<B>, outcome: Outcome) {
        let unwanted = match outcome {
            Outcome::Used(written) => {
                let filled = Filled::new((chain, written));
                // There is room for as many as there are.
                let mut held = queue.lock();
                let kept = held.state().left.push_within_capacity(filled);
                drop(held);
                kept.map_err(|error| error.0.chain).err()
            }
            Outcome::Unused => Some(chain),
        };
        drop(unwanted);
    }

    fn stopped(&self, queue: &Queue<Self>) {
        queue.lock().state().gone = true;
        self.waiters.wake();
    }
}

impl<B: Fill> Inflow<B> {
    /// Gives the device so many chains to fill, or as many as the queue takes.
    pub(crate) fn fill(queue: &Queue<Self>, chains: usize) -> Result {
        for _ in 0..chains.min(queue.size()) {
            queue.add(Chain::new(B::empty()?, GFP_KERNEL)?)?;
        }
        Ok(())
    }

    /// Takes what is to be read next; waits for it, if it may. `ENODEV` if the device has gone and
    /// nothing is left.
    pub(crate) fn take(queue: &Queue<Self>, may_wait: bool) -> Result<Taken<'_, B>> {
        loop {
            Self::lend_spare(queue);
            let filled = until(&queue.handler().waiters, may_wait, || {
                let mut held = queue.lock();
                if held.state().reading {
                    held.state().wanted = true;
                    return Err(EAGAIN);
                }
                Self::advance(&mut held);
                let state = held.state();
                let next = state.next.take();
                state.reading = next.is_some();
                next.ok_or(if state.gone { ENODEV } else { EAGAIN })
            })?;
            let taken = Taken {
                queue,
                filled: Some(filled),
            };
            if !taken.is_over() {
                return Ok(taken);
            }
            // The device has given back a chain with nothing in it. It may do so for ever, but not
            // hold up the reader's end.
            if current!().signal_pending() {
                return Err(ERESTARTSYS);
            }
        }
    }

    /// Sees to it that there is something to be read next, if there can be.
    fn advance(held: &mut Locked<'_, Self>) {
        if held.state().next.is_some() {
            return;
        }
        let popped = held.pop().map(Filled::new);
        let state = held.state();
        state.next = popped.or_else(|| state.left.remove(0).ok());
    }

    /// Gives the device what it could not be given before.
    fn lend_spare(queue: &Queue<Self>) {
        let mut held = queue.lock();
        while let Some(chain) = held.state().spare.pop() {
            if let Err(refused) = held.add(chain) {
                // It was there a moment ago, so there is room.
                let kept = held.state().spare.push_within_capacity(refused.chain);
                drop(held);
                return drop(kept);
            }
        }
    }

    /// Whether there is something to be read without waiting.
    pub(crate) fn poll(queue: &Queue<Self>, file: &File, table: &PollTable<'_>) -> Events {
        queue.handler().waiters.register(file, table);
        let mut held = queue.lock();
        let state = held.state();
        if state.reading {
            state.wanted = true;
            return Events::NONE;
        }
        Self::advance(&mut held);
        let state = held.state();
        match (&state.next, state.gone) {
            (_, true) => Events::READABLE | Events::HANG_UP,
            (Some(_), false) => Events::READABLE,
            (None, false) => Events::NONE,
        }
    }
}

/// What is being read, by one reader. Dropping it lets the next one have the rest, or the device the
/// chain.
pub(crate) struct Taken<'a, B: Fill> {
    queue: &'a Queue<Inflow<B>>,
    /// There until this is dropped.
    filled: Option<Filled<B>>,
}

impl<B: Fill> Taken<'_, B> {
    /// Lets `read` see what is to be read; it says how much of that it has read.
    pub(crate) fn read(&mut self, read: impl FnOnce(&B, Range<usize>) -> usize) -> usize {
        let Some(filled) = &mut self.filled else {
            return 0;
        };
        let count = read(&filled.chain, filled.read..filled.until);
        filled.read = filled.until.min(filled.read + count);
        count
    }

    /// Whether all of it was read.
    fn is_over(&self) -> bool {
        self.filled
            .as_ref()
            .is_none_or(|filled| filled.read >= filled.until)
    }
}

impl<B: Fill> Drop for Taken<'_, B> {
    fn drop(&mut self) {
        let over = self.is_over();
        let mut held = self.queue.lock();
        let state = held.state();
        state.reading = false;
        let wake = core::mem::take(&mut state.wanted);
        let mut unwanted = None;
        match self.filled.take() {
            Some(filled) if over => match held.add(filled.chain) {
                Ok(()) => {}
                Err(Refused {
                    chain,
                    why: Why::Gone,
                }) => unwanted = Some(chain),
                // For want of memory.
                Err(Refused { chain, .. }) => {
                    unwanted = held
                        .state()
                        .spare
                        .push_within_capacity(chain)
                        .map_err(|error| error.0)
                        .err();
                }
            },
            rest => state.next = rest,
        }
        drop(held);
        drop(unwanted);
        if wake {
            self.queue.handler().waiters.wake();
        }
    }
}
