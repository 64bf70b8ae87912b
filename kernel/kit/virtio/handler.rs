// SPDX-License-Identifier: GPL-2.0

//! What a driver does with what comes back from a queue.

use super::{Buffers, Chain, Queue};

/// How a chain comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The device has used it, and says that it wrote so many bytes: never more than there was room
    /// for. What is in them is the device's word.
    Used(usize),
    /// The queue was stopped before the device used it. It may have written anything, also in part.
    Unused,
}

/// A queue's side in the driver.
pub trait Handler: Send + Sync + Sized + 'static {
    /// What the queue's chains are made of.
    type Buffers: Buffers;
    /// What the driver keeps with the queue, guarded by its lock.
    type State: Send + 'static;

    /// A chain has come back, and is the driver's again. Dropping it frees it.
    ///
    /// Called without the queue's lock: by [`Queue::take_used`], so as a rule in a hard interrupt;
    /// and when the queue is stopped, in process context, for each chain that is still in it. Must
    /// not sleep.
    fn back(&self, queue: &Queue<Self>, chain: Chain<Self::Buffers>, outcome: Outcome);

    /// The device has used chains.
    ///
    /// Called in a hard interrupt, on one CPU at a time as a rule, but do not rely on it. Must not
    /// sleep. This one takes all of them ([`Queue::take_used`]). One that only wakes a task, which
    /// then takes them, is as good.
    fn notified(&self, queue: &Queue<Self>) {
        queue.take_used();
    }

    /// The queue has stopped for good: every chain has come back, and none can be added. Whoever
    /// waits for something of it must be told. In process context.
    fn stopped(&self, _queue: &Queue<Self>) {}
}
