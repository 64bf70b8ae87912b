// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device behind a driver, without anything in between.

use std::sync::Arc;

use virtio_queue::{Queue, QueueT};
use vm_memory::GuestAddress;

use super::{Driver, Part, Used, memory};
use crate::MemoryHold;
use crate::device::{Device, Waker};
use crate::metrics::QueueCounters;
use crate::queue::{Round, Worker};
use crate::trace::Tracer;

/// One queue of a device, and its driver.
pub struct Rig {
    /// The driver's side.
    pub driver: Driver,
    /// What wakes the device's side. Nobody listens: the test turns the crank.
    pub waker: Waker,
    /// What was counted.
    pub counters: Arc<QueueCounters>,
    worker: Worker,
    queue: Queue,
    hold: MemoryHold,
}

impl Rig {
    /// Queue number 0 of this device, with event indices, of 16 entries.
    pub fn new(device: Arc<dyn Device>) -> Self {
        Self::with(device, 0, 16, true, None)
    }

    /// Any queue of any size.
    pub fn with(
        device: Arc<dyn Device>,
        index: usize,
        size: u16,
        event_idx: bool,
        tracer: Option<Arc<Tracer>>,
    ) -> Self {
        let hold = memory();
        let driver = Driver::new(hold.clone(), size, event_idx);
        let waker = Waker::new().expect("an eventfd");
        let counters = Arc::<QueueCounters>::default();
        let handler = device.open(index, waker.clone()).expect("the device has this queue");
        let worker = Worker::new(index, handler, counters.clone(), tracer);
        let queue = ring(&driver);
        Self { driver, waker, counters, worker, queue, hold }
    }

    /// One round of the device.
    pub fn round(&mut self) -> Round {
        self.waker.take();
        self.worker.round(&mut self.queue, &self.hold)
    }

    /// Rounds until this many messages have come back. They may need the waker, but not a kick.
    pub fn wait(&mut self, messages: usize) -> Vec<Used> {
        let mut used = Vec::new();
        while used.len() < messages {
            if !self.round().again && !self.collect(&mut used) && used.len() < messages {
                assert!(!self.is_stopped(), "the queue is stopped");
                assert!(self.waker.wait(), "{} of {messages} messages are back", used.len());
            }
        }
        used
    }

    fn collect(&mut self, used: &mut Vec<Used>) -> bool {
        let before = used.len();
        used.extend(std::iter::from_fn(|| self.driver.used()));
        used.len() > before
    }

    /// Sends a message and gives what comes back.
    pub fn exchange(&mut self, parts: &[Part]) -> Used {
        self.driver.send(parts);
        self.wait(1).remove(0)
    }

    /// The device's side of the ring, to be changed at will.
    pub fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// The queue stops, as when the driver resets the device; and begins anew where it was.
    pub fn restart(&mut self) {
        self.worker.drain(&mut self.queue, &self.hold);
        self.worker.reset();
    }

    /// Whether the device has stopped the queue for what the driver did.
    pub fn is_stopped(&self) -> bool {
        self.counters.broken.get() > 0
    }
}

/// The device's view of this driver's queue, from its beginning.
fn ring(driver: &Driver) -> Queue {
    let mut queue = Queue::new(driver.size()).expect("a size that queues have");
    let (table, avail, used) = driver.addresses();
    queue.try_set_desc_table_address(GuestAddress(table)).expect("aligned");
    queue.try_set_avail_ring_address(GuestAddress(avail)).expect("aligned");
    queue.try_set_used_ring_address(GuestAddress(used)).expect("aligned");
    queue.set_event_idx(driver.has_event_idx());
    queue.set_ready(true);
    queue
}
