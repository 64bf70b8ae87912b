// SPDX-License-Identifier: MIT OR Apache-2.0
//! A virtqueue as the specification has it (virtio 1.2, section 2.7): framing, order, notifications.

mod common;

use std::sync::{Arc, Mutex};

use blockyard_device::mock::{Part, Rig};
use blockyard_device::trace::Tracer;
use common::Echo;

fn read(bytes: &[u8]) -> Part {
    Part::Read(bytes.to_vec())
}

/// 2.7.4: "The framing of messages with descriptors is independent of the contents of the buffers."
#[test]
fn where_a_message_is_cut_means_nothing() {
    let mut rig = Rig::new(Arc::new(Echo::default()));
    let cuts: [&[Part]; 5] = [
        &[read(b"framing"), Part::Write(7)],
        &[read(b"f"), read(b"raming"), Part::Write(7)],
        &[read(b"fram"), read(b""), read(b"ing"), Part::Write(1), Part::Write(6)],
        &[read(b"framin"), read(b"g"), Part::Write(0), Part::Write(3), Part::Write(4)],
        &[read(b"f"), read(b"r"), read(b"a"), read(b"m"), read(b"i"), read(b"n"), read(b"g"), Part::Write(7)],
    ];
    for parts in cuts {
        for indirect in [false, true] {
            if indirect {
                rig.driver.send_indirect(parts)
            } else {
                rig.driver.send(parts)
            };
            let used = rig.wait(1).remove(0);
            assert_eq!(
                (used.written, &used.bytes[..]),
                (7, &b"framing"[..]),
                "{parts:?}, indirect {indirect}"
            );
        }
    }
}

/// A buffer may lie in two regions of memory that we have mapped at two places.
#[test]
fn a_buffer_across_two_regions_is_one_buffer() {
    let mut rig = Rig::new(Arc::new(Echo::default()));
    for before in [1, 15, 16, 31] {
        rig.driver.straddle(before);
        assert_eq!(rig.exchange(&[read(&[7; 32]), Part::Write(32)]).bytes, [7; 32]);
        rig.driver.straddle(before + 32);
        assert_eq!(rig.exchange(&[read(&[9; 32]), Part::Write(32)]).bytes, [9; 32]);
    }
}

/// 2.7.8: "The used ring is where the device returns buffers once it is done with them." Ours go back in order.
#[test]
fn chains_that_are_finished_early_wait_for_those_before_them() {
    let echo = Arc::new(Echo::default());
    *echo.slow.lock().unwrap() = true;
    let mut rig = Rig::new(echo.clone());
    let heads: Vec<_> = (0..3).map(|i| rig.driver.send(&[read(&[i]), Part::Write(1)])).collect();
    rig.round();
    echo.finish(2);
    echo.finish(1);
    rig.round();
    assert_eq!(rig.driver.used_idx(), 0, "the first is still under way");
    echo.finish(0);
    let used = rig.wait(3);
    assert_eq!(used.iter().map(|used| used.head).collect::<Vec<_>>(), heads);
    assert_eq!(used.iter().map(|used| used.bytes[0]).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_chain_that_is_not_taken_stays_and_comes_again() {
    let echo = Arc::new(Echo::default());
    *echo.parked.lock().unwrap() = true;
    let mut rig = Rig::new(echo.clone());
    rig.driver.send(&[read(b"a"), Part::Write(1)]);
    for _ in 0..3 {
        assert!(!rig.round().again, "it does not spin");
        assert_eq!(rig.driver.used_idx(), 0);
    }
    *echo.parked.lock().unwrap() = false;
    assert_eq!(rig.wait(1)[0].bytes, b"a");
}

/// What is under way when a queue stops is given back first (`VHOST_USER_GET_VRING_BASE`).
#[test]
fn a_queue_that_stops_gives_back_what_it_has() {
    let echo = Arc::new(Echo::default());
    *echo.slow.lock().unwrap() = true;
    let mut rig = Rig::new(echo);
    for i in 0..4 {
        rig.driver.send(&[read(&[i]), Part::Write(1)]);
    }
    rig.round();
    rig.restart();
    assert_eq!(rig.driver.used_idx(), 4);
}

/// 2.7.7.2, with event indices: notify "if the idx field in the used ring ... was equal to used_event".
#[test]
fn the_driver_is_notified_when_the_used_index_passes_its_event() {
    let mut rig = Rig::new(Arc::new(Echo::default()));
    // The first round notifies in any case: a backend before this one may have died before it did.
    assert!(rig.round().notify);
    rig.driver.set_used_event(2);
    let mut notified = Vec::new();
    for _ in 0..5 {
        rig.driver.send(&[read(b"a"), Part::Write(1)]);
        notified.push(rig.round().notify);
        rig.driver.used().unwrap();
    }
    assert_eq!(notified, [false, false, true, false, false]);
}

/// The same over the end of the index, which is 16 bits wide and wraps.
#[test]
fn the_event_works_where_the_index_wraps() {
    let mut rig = Rig::new(Arc::new(Echo::default()));
    rig.round();
    for n in 0..70_000_u32 {
        // It wants to know of every hundredth.
        rig.driver.set_used_event((n / 100 * 100 + 99) as u16);
        rig.driver.send(&[read(b"a"), Part::Write(1)]);
        assert_eq!(rig.round().notify, n % 100 == 99, "message {n}");
        rig.driver.used().unwrap();
    }
}

/// 2.7.7.2, without: "if flags is 1, the device SHOULD NOT send a notification".
#[test]
fn the_flag_counts_without_event_indices() {
    let mut rig = Rig::with(Arc::new(Echo::default()), 0, 16, false, None);
    rig.round();
    for unwanted in [true, false, true] {
        rig.driver.set_no_interrupt(unwanted);
        rig.driver.send(&[read(b"a"), Part::Write(1)]);
        assert_eq!(rig.round().notify, !unwanted);
        rig.driver.used().unwrap();
    }
    assert!(!rig.driver.no_notify(), "kicks are wanted again after a round");
}

/// 2.7.10.1: the device tells by `avail_event` when it wants a kick: for the very next chain, when it is idle.
#[test]
fn an_idle_device_wants_to_be_kicked_for_the_next_chain() {
    let mut rig = Rig::new(Arc::new(Echo::default()));
    for n in 0..20 {
        rig.round();
        assert_eq!(rig.driver.avail_event(), n);
        rig.driver.send(&[read(b"a"), Part::Write(1)]);
        rig.round();
        rig.driver.used().unwrap();
    }
}

#[test]
fn a_trace_tells_a_request_from_the_ring_to_the_ring() {
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let page = Page::default();
    let tracer = Arc::new(Tracer::to(Box::new(page.clone()), 1));
    let mut rig = Rig::with(Arc::new(Echo::default()), 0, 16, true, Some(tracer));
    rig.exchange(&[read(b"hello"), Part::Write(5)]);
    rig.exchange(&[read(b"again"), Part::Write(5)]);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        text,
        "request 1, queue 0
  available ring at 0x8000: idx 1, the device is at 0: entry 0 of 16 is descriptor 0
  descriptor table at 0x1000:
      0: 5 bytes at 0x100000, for the device to read, next 1: 68 65 6c 6c 6f
      1: 5 bytes at 0x100010, for the device to write
  buffer of descriptor 1 is now 68 65 6c 6c 6f
  used ring at 0x10000: entry 0 is descriptor 0, 5 bytes written; idx 1
"
    );
}
