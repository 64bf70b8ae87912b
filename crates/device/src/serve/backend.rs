// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection: what `vhost-user-backend` calls, turned into rounds of the queues' workers.
//!
//! The library speaks the protocol in a thread of its own, and runs a thread for each queue, which waits for the driver's
//! kicks and for the queue's [`Waker`].
//!
//! # Locks
//!
//! A queue's `worker` is locked by the queue's own thread for a round, and by the protocol's thread to stop the queue. The
//! library's lock of the ring itself is taken after it, never before. Rounds are bounded, so that both are free again soon.
//! A device's own locks come last.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringEpollHandler, VringMutex, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::MAX_QUEUE_SIZE;
use crate::device::{Device, Waker};
use crate::error::{Error, Result};
use crate::metrics::QueueCounters;
use crate::queue::{Round, Worker};
use crate::trace::Tracer;
use crate::{Memory, MemoryHold};

/// The features that the rings have, whatever the device.
pub(super) const RING_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;

/// The only queue of its thread.
const KICK: u16 = 0;

/// One queue of this connection.
struct Room {
    worker: Worker,
    /// Known since the first event.
    ring: Option<VringMutex>,
}

/// A device and a front end that are connected.
pub(super) struct Backend {
    device: Arc<dyn Device>,
    memory: GuestMemoryAtomic<Memory>,
    rooms: Vec<Mutex<Room>>,
    wakers: Vec<Waker>,
    counters: Vec<Arc<QueueCounters>>,
    /// A driver has been told of once that writes what it must not: one that does so in a loop fills no disk with that.
    refused: AtomicBool,
}

impl Backend {
    pub(super) fn new(
        device: &Arc<dyn Device>,
        memory: GuestMemoryAtomic<Memory>,
        counters: &[Arc<QueueCounters>],
        tracer: Option<&Arc<Tracer>>,
    ) -> Result<Self> {
        let (mut rooms, mut wakers) = (Vec::new(), Vec::new());
        for (index, counters) in counters.iter().enumerate() {
            let waker = Waker::new()?;
            let handler = Arc::clone(device).open(index, waker.clone())?;
            let worker = Worker::new(index, handler, counters.clone(), tracer.cloned());
            rooms.push(Mutex::new(Room { worker, ring: None }));
            wakers.push(waker);
        }
        let (device, counters, refused) = (device.clone(), counters.to_vec(), AtomicBool::new(false));
        Ok(Self { device, memory, rooms, wakers, counters, refused })
    }

    /// Lets each queue's thread listen to its waker.
    pub(super) fn listen(&self, threads: &[Arc<VringEpollHandler<Arc<Self>>>]) -> Result<()> {
        for (thread, waker) in threads.iter().zip(&self.wakers) {
            thread
                .register_listener(waker.as_raw_fd(), EventSet::IN, u64::from(self.wake_event()))
                .map_err(Error::system("cannot listen to an eventfd"))?;
        }
        Ok(())
    }

    /// Finishes what is under way, gives it back, and touches no ring after that.
    pub(super) fn quiesce(&self) {
        let hold = self.memory.memory();
        for room in &self.rooms {
            let mut room = lock(room);
            room.drain(&hold);
            room.worker.close();
        }
    }

    /// The connection is gone: waits for what is under way, and touches no ring any more.
    pub(super) fn abandon(&self) {
        for room in &self.rooms {
            lock(room).worker.abandon();
        }
    }

    /// The number of an event that the library has no meaning for: those up to the number of queues are its own.
    fn wake_event(&self) -> u16 {
        self.rooms.len() as u16 + 1
    }
}

impl Room {
    fn round(&mut self, ring: &VringMutex, hold: &MemoryHold) -> Round {
        let mut state = ring.get_mut();
        if !state.is_enabled() {
            return Round::default();
        }
        let round = self.worker.round(state.get_queue_mut(), hold);
        if round.notify {
            notify(state.signal_used_queue());
        }
        round
    }

    fn drain(&mut self, hold: &MemoryHold) {
        // Without a ring there has never been an event, so nothing is under way.
        let Some(ring) = &self.ring else { return };
        let mut state = ring.get_mut();
        if self.worker.drain(state.get_queue_mut(), hold).notify {
            notify(state.signal_used_queue());
        }
    }
}

fn notify(sent: io::Result<()>) {
    if let Err(error) = sent {
        tracing::warn!(%error, "the driver could not be notified");
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VhostUserBackend for Backend {
    type Bitmap = ();
    type Vring = VringMutex;

    fn num_queues(&self) -> usize {
        self.rooms.len()
    }

    fn max_queue_size(&self) -> usize {
        usize::from(MAX_QUEUE_SIZE)
    }

    fn features(&self) -> u64 {
        self.device.features() | RING_FEATURES | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn acked_features(&self, features: u64) {
        self.device.negotiated(features);
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::CONFIG
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The rings know by themselves.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        super::config_bytes(&self.device.config(), offset, size)
    }

    fn set_config(&self, offset: u32, bytes: &[u8]) -> io::Result<()> {
        self.device.write_config(offset as usize, bytes).inspect_err(|error| {
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "the driver wrote {} bytes at {offset} of the configuration: {error} (this is said once a connection)",
                    bytes.len()
                );
            }
        })
    }

    fn update_memory(&self, _memory: GuestMemoryAtomic<Memory>) -> io::Result<()> {
        // It is the same value that this one has, with a new map in it.
        Ok(())
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        (0..self.rooms.len()).map(|queue| 1 << queue).collect()
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        let made = new_event_consumer_and_notifier(EventFlag::CLOEXEC | EventFlag::NONBLOCK);
        made.inspect_err(|error| tracing::error!(%error, "cannot make an eventfd")).ok()
    }

    fn stop_vring(&self, queue: u32) -> io::Result<()> {
        let room = self.rooms.get(queue as usize).ok_or(io::ErrorKind::InvalidInput)?;
        let mut room = lock(room);
        room.drain(&self.memory.memory());
        room.worker.reset();
        Ok(())
    }

    fn handle_event(
        &self,
        event: u16,
        _set: EventSet,
        rings: &[VringMutex],
        thread: usize,
    ) -> io::Result<()> {
        // An error would end the thread, and with it the queue, in silence; there is none here.
        let (Some(room), Some(ring)) = (self.rooms.get(thread), rings.first()) else { return Ok(()) };
        let waker = &self.wakers[thread];
        if event == self.wake_event() {
            waker.take();
        } else if event != KICK {
            return Ok(());
        }
        self.counters[thread].events.add(1);
        let hold = self.memory.memory();
        let mut room = lock(room);
        room.ring.get_or_insert_with(|| ring.clone());
        if room.round(ring, &hold).again {
            // Others get a turn with the locks, and the thread sees whether it is to end.
            waker.wake();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Handler;

    struct ReadOnly;

    impl Device for ReadOnly {
        fn name(&self) -> &'static str {
            "read-only"
        }

        fn id(&self) -> u32 {
            35
        }

        fn features(&self) -> u64 {
            0
        }

        fn queues(&self) -> usize {
            0
        }

        fn config(&self) -> Vec<u8> {
            Vec::new()
        }

        fn open(self: Arc<Self>, _queue: usize, _waker: Waker) -> Result<Box<dyn Handler>> {
            unreachable!("it has no queue")
        }
    }

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_driver_that_writes_the_configuration_in_a_loop_is_told_of_once() {
        let device: Arc<dyn Device> = Arc::new(ReadOnly);
        let backend = Backend::new(&device, GuestMemoryAtomic::new(Memory::new()), &[], None).unwrap();
        let said = Said::default();
        let log = said.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..100 {
                backend.set_config(0, &[1]).unwrap_err();
            }
        });
        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
