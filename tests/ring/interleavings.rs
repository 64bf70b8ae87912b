// SPDX-License-Identifier: MIT OR Apache-2.0
//! With loom: all interleavings of a few steps, under the C11 memory model. Contents that two threads access
//! without an order between them, or that are read before they are there, fail here on every processor.

use loom::{model, sync::Arc, thread};
use queue::{Queue, Slot};

#[rustfmt::skip] // It has the kernel's style.
#[path = "../../kernel/kit/ring/queue.rs"]
mod queue;

/// What the algorithm needs, watched by loom.
mod sync {
    use loom::{
        cell::UnsafeCell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    pub(super) type Slots<T> = Vec<T>;

    pub(super) struct Position(AtomicUsize);

    impl Position {
        pub(super) fn new(value: usize) -> Self {
            Self(AtomicUsize::new(value))
        }

        pub(super) fn load(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        pub(super) fn load_acquire(&self) -> usize {
            self.0.load(Ordering::Acquire)
        }

        pub(super) fn store_release(&self, value: usize) {
            self.0.store(value, Ordering::Release);
        }

        pub(super) fn advance(&self, from: usize) -> Result<(), usize> {
            let to = from.wrapping_add(1);
            self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).map(drop)
        }
    }

    pub(super) struct Cell<T>(UnsafeCell<T>);

    impl<T> Cell<T> {
        pub(super) fn new(value: T) -> Self {
            Self(UnsafeCell::new(value))
        }

        pub(super) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            self.0.with_mut(access)
        }
    }
}

fn ring() -> Arc<Queue<u32>> {
    let slots = (0..2).map(|at| Slot::new(at, 0)).collect();
    Arc::new(Queue::new(slots).expect("two slots"))
}

fn push(ring: &Queue<u32>, value: u32) -> bool {
    ring.push(|slot| *slot = value)
}

fn drain(ring: &Queue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| ring.pop(|slot| *slot)).collect()
}

#[test]
fn two_producers_never_get_the_same_slot() {
    model(|| {
        let ring = ring();
        let threads = [1, 2].map(|value| {
            let ring = ring.clone();
            thread::spawn(move || assert!(push(&ring, value)))
        });
        for thread in threads {
            thread.join().expect("a producer");
        }
        let mut seen = drain(&ring);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn a_reader_sees_whole_events_in_order_while_they_come_and_slots_are_used_again() {
    model(|| {
        let ring = ring();
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || (1..=3).filter(|value| push(&ring, *value)).collect::<Vec<_>>())
        };
        let mut seen = drain(&ring);
        let kept = producer.join().expect("the producer");
        seen.extend(drain(&ring));
        assert_eq!(seen, kept);
        assert!(ring.is_empty());
    });
}

#[test]
fn two_readers_and_a_producer_share_out_each_event_once() {
    model(|| {
        let ring = ring();
        assert!(push(&ring, 1));
        let readers = [(); 2].map(|()| {
            let ring = ring.clone();
            thread::spawn(move || ring.pop(|slot| *slot))
        });
        assert!(push(&ring, 2));
        let mut seen: Vec<u32> =
            readers.into_iter().filter_map(|reader| reader.join().expect("a reader")).collect();
        seen.extend(drain(&ring));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}
