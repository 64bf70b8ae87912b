// SPDX-License-Identifier: MIT OR Apache-2.0
//! One virtqueue, seen from the device: chains are taken, handed over, and go back in order.
//!
//! # Why in order
//!
//! A device may use chains in any order. Ours always *publishes* them in the order in which they were made available: one
//! that is done early waits for those before it. What it buys is that the backend may die at any moment.
//!
//! When the connection to a backend breaks, QEMU cannot ask it how far it got. It takes the used index from the ring in
//! guest memory for the place in the available ring to go on from (`virtio_queue_restore_last_avail_idx` in
//! its `hw/virtio/virtio.c`, called by `vhost_virtqueue_stop`), and the next backend begins there. That index counts what
//! was used, not *which*: if chains 5 and 7 were used and 6 was not, the new backend would skip 6, which then never
//! comes back, and hand out 7 again, which the driver has reused by then. In order, the used index *is* the first
//! chain that was not acknowledged: nothing before it is done again, nothing after it is left undone. A chain that was
//! carried out and not yet published is carried out again, so a device's requests must allow that, as those of a disk
//! do: the driver has not seen the answer, so nothing depends on it yet.
//!
//! The other way is to share a region with QEMU in which the backend notes what is in flight
//! (`VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD`): publication in any order, for two more writes a request to shared memory, a crash
//! protocol of its own, and support that `vhost-user-backend` does not have. In order costs a slow request's
//! neighbours their head start: a read that comes after a flush is told after the flush.
//!
//! For the same reason the used ring is not touched any more once the connection is closed, and at a clean end all that is
//! under way is finished before it is closed.
//!
//! # Notifications
//!
//! While a round goes on, kicks are switched off; before it ends they are switched on, and the ring is looked at once more,
//! so that none is missed (2.7.10). The driver is notified after a round, once, and only if it wants to be: by `used_event`
//! if event indices were negotiated, else by the flag in the available ring (2.7.7).
//! A round that has found some chains may first wait a moment for more of them ([`linger`]).

pub mod linger;
mod order;

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use self::linger::Linger;
pub use self::order::{Finished, Order, Ticket};
use crate::chain::walk::{self, Broken};
use crate::chain::{Chain, Piece};
use crate::device::{Answer, Handler};
use crate::metrics::QueueCounters;
use crate::trace::{Request, Tracer, Watching};
use crate::{Memory, MemoryHold};

/// `VRING_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;

/// Why a queue was stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The rings are not where the guest has memory, or the driver's index has jumped.
    #[error("the rings: {0}")]
    Ring(String),
    /// "A driver MUST NOT decrement the available idx", nor make more chains available than there are descriptors.
    #[error("{under_way} chains are under way in a queue of {size}")]
    TooMany {
        /// Chains that were not given back.
        under_way: usize,
        /// The queue's size.
        size: u16,
    },
    /// A chain of descriptors.
    #[error("the chain of descriptor {head}: {broken}")]
    Chain {
        /// The head that the driver made available.
        head: u16,
        /// What is wrong.
        broken: Broken,
    },
    /// A message.
    #[error("the message of descriptor {head}: {reason}")]
    Message {
        /// The head that the driver made available.
        head: u16,
        /// What the device said.
        reason: &'static str,
    },
}

/// What is to be done after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// The driver waits for a notification.
    pub notify: bool,
    /// There is more to do: come again after a look at other events.
    pub again: bool,
}

/// What became of one look at the available ring.
enum Step {
    Handled,
    Empty,
    Parked,
}

/// The device's side of one queue, between two resets of it.
pub struct Worker {
    index: usize,
    handler: Box<dyn Handler>,
    order: Order,
    counters: Arc<QueueCounters>,
    tracer: Option<Arc<Tracer>>,
    /// How many chains were given back since the driver was last notified or was found not to want it.
    published: u64,
    linger: Linger,
    /// The rings have been looked at and are where they should be.
    checked: bool,
    /// Nothing more is taken from this queue until the driver resets it.
    stopped: bool,
    /// Nor after that: the connection ends.
    closed: bool,
}

impl Worker {
    /// Serves queue number `index` by this handler.
    pub fn new(
        index: usize,
        handler: Box<dyn Handler>,
        counters: Arc<QueueCounters>,
        tracer: Option<Arc<Tracer>>,
    ) -> Self {
        Self {
            index,
            handler,
            order: Order::default(),
            counters,
            tracer,
            published: 0,
            linger: Linger::default(),
            checked: false,
            stopped: false,
            closed: false,
        }
    }

    /// Takes what is available, at most as many chains as the queue has entries, and gives back what is finished.
    pub fn round(&mut self, queue: &mut Queue, hold: &MemoryHold) -> Round {
        if self.stopped || self.closed || !queue.ready() {
            return Round::default();
        }
        match self.try_round(queue, hold) {
            Ok(round) => round,
            Err(fault) => {
                self.fault(&fault);
                Round::default()
            }
        }
    }

    /// Finishes all that is under way and gives it back. What is available stays where it is.
    pub fn drain(&mut self, queue: &mut Queue, hold: &MemoryHold) -> Round {
        self.handler.drain(&mut Finished::new(&mut self.order));
        match self.publish(queue, hold).and_then(|()| self.wants_notification(queue, hold)) {
            Ok(notify) => Round { notify, again: false },
            Err(fault) => {
                self.fault(&fault);
                Round::default()
            }
        }
    }

    /// The queue is to begin anew: faults are forgotten.
    pub fn reset(&mut self) {
        (self.checked, self.stopped) = (false, false);
        if !self.order.is_empty() {
            tracing::error!(
                queue = self.index,
                left = self.order.len(),
                "the device kept chains of a queue that stopped"
            );
            self.order = Order::default();
        }
    }

    /// Takes nothing more, ever.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Waits for what is under way without giving it back, and takes nothing more.
    pub fn abandon(&mut self) {
        self.closed = true;
        self.handler.drain(&mut Finished::new(&mut self.order));
        self.order = Order::default();
    }

    fn fault(&mut self, fault: &Fault) {
        self.stopped = true;
        self.counters.broken.add(1);
        tracing::warn!("queue {} is stopped until the driver resets it: {fault}", self.index);
    }

    fn try_round(&mut self, queue: &mut Queue, hold: &MemoryHold) -> Result<Round, Fault> {
        let memory: &Memory = hold;
        let begins = self.check(queue, memory)?;
        self.handler.finished(&mut Finished::new(&mut self.order));
        let mut pieces = Vec::with_capacity(32);
        let mut left = queue.size();
        let mut again = false;
        let mut lingers_until = None;
        queue.disable_notification(memory).map_err(ring)?;
        loop {
            let step = if left == 0 { None } else { Some(self.step(queue, hold, &mut pieces)?) };
            left = left.saturating_sub(1);
            if matches!(step, Some(Step::Handled)) {
                continue;
            }
            self.handler.submit();
            // Something may have finished while it was being submitted.
            self.handler.finished(&mut Finished::new(&mut self.order));
            self.publish(queue, hold)?;
            if matches!(step, Some(Step::Empty)) && self.lingers(queue, hold, &mut lingers_until)? {
                continue;
            }
            let more = queue.enable_notification(memory).map_err(ring)?;
            match step {
                Some(Step::Empty) if more => queue.disable_notification(memory).map_err(ring)?,
                Some(_) => break,
                None => {
                    again = more;
                    break;
                }
            }
        }
        Ok(Round { notify: self.wants_notification(queue, hold)? || begins, again })
    }

    /// Looks for another chain if that is worth it, as long as `last` is not over; whether there is one.
    fn lingers(
        &mut self,
        queue: &mut Queue,
        hold: &MemoryHold,
        last: &mut Option<Instant>,
    ) -> Result<bool, Fault> {
        let Some(outstanding) = outstanding(queue, hold)? else { return Ok(false) };
        if !self.linger.wants_more(self.published, outstanding) {
            return Ok(false);
        }
        let begun = Instant::now();
        let last = *last.get_or_insert(begun + linger::LONGEST);
        let end = begun + self.linger.look();
        let came = self.more_comes(queue, hold, end.min(last))?;
        if came {
            self.linger.came(begun.elapsed(), outstanding.saturating_add(1));
        } else if end <= last {
            self.linger.in_vain(outstanding);
        }
        Ok(came)
    }

    /// Looks for another chain until `end`, and gives back what is finished meanwhile.
    fn more_comes(&mut self, queue: &mut Queue, hold: &MemoryHold, end: Instant) -> Result<bool, Fault> {
        loop {
            if queue.avail_idx(&**hold, Ordering::Acquire).map_err(ring)?.0 != queue.next_avail() {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            linger::pass(left);
            self.handler.finished(&mut Finished::new(&mut self.order));
            self.publish(queue, hold)?;
        }
    }

    /// The rings must be in the guest's memory before anything in them is used. Tells whether this is the first round: the
    /// driver is notified after it in any case, as a backend before this one may have died between the two.
    fn check(&mut self, queue: &Queue, memory: &Memory) -> Result<bool, Fault> {
        if !self.checked && !queue.is_valid(memory) {
            return Err(Fault::Ring("not wholly in the guest's memory".into()));
        }
        Ok(!std::mem::replace(&mut self.checked, true))
    }

    fn step<'m>(
        &mut self,
        queue: &mut Queue,
        hold: &'m MemoryHold,
        pieces: &mut Vec<Piece<'m>>,
    ) -> Result<Step, Fault> {
        let memory: &'m Memory = hold;
        let size = queue.size();
        let position = queue.next_avail();
        // This checks that the driver's index is at most `size` ahead of ours.
        let Some(head) = queue.iter(memory).map_err(ring)?.next().map(|chain| chain.head_index()) else {
            return Ok(Step::Empty);
        };
        if self.order.len() >= usize::from(size) {
            return Err(Fault::TooMany { under_way: self.order.len(), size });
        }
        let table = GuestAddress(queue.desc_table());
        let answer = match self.tracer.as_deref().and_then(|tracer| tracer.begin(self.index)) {
            None => self.answer(hold, (table, size, head), pieces, None)?,
            Some(mut request) => {
                request.available(queue, memory, position, head);
                let answer = self.answer(hold, (table, size, head), pieces, Some(&mut request));
                request.answered(&answer);
                if let Some(tracer) = &self.tracer {
                    tracer.keep(request, &answer);
                }
                answer?
            }
        };
        self.take(queue, head, answer)
    }

    /// Walks the chain and hands it to the device, with somebody watching or not.
    fn answer<'m>(
        &mut self,
        hold: &'m MemoryHold,
        (table, size, head): (GuestAddress, u16, u16),
        pieces: &mut Vec<Piece<'m>>,
        trace: Option<&mut Request>,
    ) -> Result<Answer, Fault> {
        let memory: &'m Memory = hold;
        let (walked, trace) = match trace {
            None => (walk::walk(memory, table, size, head, pieces, &mut ()), None),
            Some(request) => {
                let mut watching = Watching { request, memory };
                let walked = walk::walk(memory, table, size, head, pieces, &mut watching);
                (walked, Some(&*watching.request))
            }
        };
        let readable = walked.map_err(|broken| Fault::Chain { head, broken })?;
        Ok(self.handler.handle(&mut Chain::new(pieces, readable, self.order.next(), hold, trace)))
    }

    fn take(&mut self, queue: &mut Queue, head: u16, answer: Answer) -> Result<Step, Fault> {
        match answer {
            Answer::Done(written) => self.order.push(head, Some(written)),
            Answer::Later => self.order.push(head, None),
            Answer::NotYet => {
                queue.go_to_previous_position();
                return Ok(Step::Parked);
            }
            Answer::Broken(reason) => return Err(Fault::Message { head, reason }),
        }
        self.counters.chains.add(1);
        Ok(Step::Handled)
    }

    /// Gives back what is finished, as far as nothing before it is under way.
    fn publish(&mut self, queue: &mut Queue, hold: &MemoryHold) -> Result<(), Fault> {
        let memory: &Memory = hold;
        while let Some((head, written)) = self.order.pop() {
            queue.add_used(memory, head, written).map_err(ring)?;
            self.published += 1;
            self.counters.used.add(1);
            if let Some(tracer) = &self.tracer {
                tracer.used(self.index, queue, memory, head, written);
            }
        }
        Ok(())
    }

    /// Whether the driver wants to know of what was given back since it was last asked.
    fn wants_notification(&mut self, queue: &mut Queue, hold: &MemoryHold) -> Result<bool, Fault> {
        if std::mem::take(&mut self.published) == 0 {
            return Ok(false);
        }
        let wanted = if queue.event_idx_enabled() {
            queue.needs_notification(&**hold).map_err(ring)?
        } else {
            // What was given back must be visible before the flag is read, as the driver sets it the other way round.
            fence(Ordering::SeqCst);
            let flags: u16 = hold
                .load(GuestAddress(queue.avail_ring()), Ordering::Relaxed)
                .map_err(|e| Fault::Ring(e.to_string()))?;
            u16::from_le(flags) & NO_INTERRUPT == 0
        };
        let counter = if wanted { &self.counters.notified } else { &self.counters.suppressed };
        counter.add(1);
        Ok(wanted)
    }
}

/// How many chains the driver has made available beyond those that it has taken note of, which it tells by `used_event`
/// (2.7.7). Nothing if it does not, or what it says is no place in the ring: Linux writes a 0 while it wants no interrupt.
fn outstanding(queue: &Queue, memory: &Memory) -> Result<Option<u16>, Fault> {
    if !queue.event_idx_enabled() {
        return Ok(None);
    }
    // After the flags, the index and the ring itself.
    let at = queue.avail_ring() + 4 + 2 * u64::from(queue.size());
    let noted: u16 =
        memory.load(GuestAddress(at), Ordering::Relaxed).map_err(|e| Fault::Ring(e.to_string()))?;
    let outstanding = queue.next_avail().wrapping_sub(u16::from_le(noted));
    Ok((outstanding <= queue.size()).then_some(outstanding))
}

fn ring(error: virtio_queue::Error) -> Fault {
    Fault::Ring(error.to_string())
}
