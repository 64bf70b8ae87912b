// SPDX-License-Identifier: MIT OR Apache-2.0
//! With the processor's own atomics: what the ring promises, step by step and under load.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

use queue::{Queue, Slot};

#[rustfmt::skip] // It has the kernel's style.
#[path = "../../kernel/kit/ring/queue.rs"]
mod queue;

/// What the algorithm needs, from the standard library.
mod sync {
    use std::{
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
            access(self.0.get())
        }
    }
}

fn ring(slots: usize) -> Queue<u64> {
    Queue::new((0..slots).map(|at| Slot::new(at, 0)).collect()).expect("a power of two")
}

fn push(ring: &Queue<u64>, value: u64) -> bool {
    ring.push(|slot| *slot = value)
}

fn pop(ring: &Queue<u64>) -> Option<u64> {
    ring.pop(|slot| *slot)
}

#[test]
fn only_a_power_of_two_of_slots_makes_a_ring() {
    for (slots, good) in [(0, false), (1, false), (2, true), (3, false), (4, true), (6, false), (64, true)] {
        let made = Queue::new((0..slots).map(|at| Slot::new(at, 0_u64)).collect());
        assert_eq!(made.is_some(), good, "{slots} slots");
    }
}

#[test]
fn what_goes_in_comes_out_in_order_for_many_rounds() {
    let ring = ring(4);
    for round in 0..1000 {
        assert!(ring.is_empty() && pop(&ring).is_none());
        for value in 0..=round % 4 {
            assert!(push(&ring, round * 10 + value));
        }
        assert!(!ring.is_empty());
        for value in 0..=round % 4 {
            assert_eq!(pop(&ring), Some(round * 10 + value));
        }
    }
}

#[test]
fn a_full_ring_refuses_and_keeps_what_it_has() {
    let ring = ring(4);
    assert!((0..4).all(|value| push(&ring, value)));
    assert!(!ring.push(|_| panic!("there is no slot to fill")));
    assert_eq!(pop(&ring), Some(0));
    assert!(push(&ring, 4) && !push(&ring, 5));
    assert_eq!(std::iter::from_fn(|| pop(&ring)).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn a_producer_that_is_interrupted_holds_up_readers_but_no_producer() {
    let ring = ring(4);
    ring.push(|slot| {
        assert!(push(&ring, 2), "an interrupt's event has a slot of its own");
        assert!(ring.is_empty() && pop(&ring).is_none(), "the older event is not there yet");
        *slot = 1;
    });
    assert_eq!((pop(&ring), pop(&ring), pop(&ring)), (Some(1), Some(2), None));
}

#[test]
fn a_slot_is_not_filled_while_it_is_looked_at() {
    let ring = ring(2);
    assert!(push(&ring, 1) && push(&ring, 2));
    let first = ring.pop(|slot| {
        assert!(!push(&ring, 3), "its slot is in use");
        *slot
    });
    assert_eq!((first, push(&ring, 3)), (Some(1), true));
}

/// Each event is read once or counted as lost, and each producer's come in order.
#[test]
fn events_of_many_threads_add_up() {
    const PRODUCERS: u64 = 3;
    let each: u64 = if cfg!(miri) { 200 } else { 200_000 };
    let ring = ring(16);
    let (lost, sum, read) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let running = AtomicUsize::new(PRODUCERS as usize);
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (ring, lost, sum, running) = (&ring, &lost, &sum, &running);
            scope.spawn(move || {
                for count in 1..=each {
                    if push(ring, producer << 32 | count) {
                        sum.fetch_add(count, Relaxed);
                    } else {
                        lost.fetch_add(1, Relaxed);
                    }
                }
                running.fetch_sub(1, std::sync::atomic::Ordering::Release);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = [0; PRODUCERS as usize];
                loop {
                    let done = running.load(std::sync::atomic::Ordering::Acquire) == 0;
                    while let Some(value) = pop(&ring) {
                        let (producer, count) = ((value >> 32) as usize, value & 0xffff_ffff);
                        assert!(last[producer] < count, "{count} after {} of {producer}", last[producer]);
                        last[producer] = count;
                        sum.fetch_sub(count, Relaxed);
                        read.fetch_add(1, Relaxed);
                    }
                    if done {
                        break;
                    }
                    thread::yield_now();
                }
            });
        }
    });
    assert!(ring.is_empty());
    assert_eq!(read.load(Relaxed) + lost.load(Relaxed), PRODUCERS * each);
    assert_eq!(sum.load(Relaxed), 0, "what was read is not what was written");
}
