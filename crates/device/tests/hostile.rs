// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers that lie. The queue stops with a word in the log; nothing panics, spins, or leaves the guest's memory.

mod common;

use std::sync::Arc;

use blockyard_device::mock::{INDIRECT, MEMORY_END, NEXT, Part, Raw, Rig, WRITE};
use blockyard_device::queue::Round;
use common::Echo;
use proptest::prelude::*;

fn rig() -> Rig {
    Rig::new(Arc::new(Echo::default()))
}

/// This table, with descriptor 0 made available, stops the queue.
fn stops(what: &str, table: &[Raw]) {
    let mut rig = rig();
    for (index, raw) in table.iter().enumerate() {
        rig.driver.write_descriptor(index as u16, *raw);
    }
    rig.driver.make_available(0);
    assert_eq!(rig.round(), Round::default(), "{what}");
    assert!(rig.is_stopped(), "{what}");
    assert_eq!(rig.driver.used_idx(), 0, "{what}: nothing is given back");
    // And stays so, whatever comes.
    rig.driver.make_available(0);
    assert_eq!(rig.round(), Round::default(), "{what}");
    assert_eq!(rig.counters.broken.get(), 1, "{what}: it is told once");
}

const GOOD: Raw = Raw { address: 0x10_0000, len: 8, flags: 0, next: 0 };

#[test]
fn loops_end() {
    stops("to itself", &[Raw { flags: NEXT, next: 0, ..GOOD }]);
    stops("of two", &[Raw { flags: NEXT, next: 1, ..GOOD }, Raw { flags: NEXT, next: 0, ..GOOD }]);
    stops("of nothing", &[Raw { flags: NEXT, next: 0, len: 0, ..GOOD }]);
}

#[test]
fn indices_outside_the_table_are_refused() {
    stops("next", &[Raw { flags: NEXT, next: 16, ..GOOD }]);
    stops("next, far", &[Raw { flags: NEXT, next: u16::MAX, ..GOOD }]);
    let mut rig = rig();
    rig.driver.make_available(16);
    rig.round();
    assert!(rig.is_stopped(), "the head");
}

#[test]
fn addresses_outside_memory_are_refused() {
    for address in [MEMORY_END, MEMORY_END - 7, 1 << 40, u64::MAX - 3, u64::MAX - 8] {
        stops("to read", &[Raw { address, ..GOOD }]);
        stops("to write", &[Raw { address, flags: WRITE, ..GOOD }]);
        stops("a table", &[Raw { address, len: 16, flags: INDIRECT, next: 0 }]);
    }
    stops("4 GiB", &[Raw { len: u32::MAX, ..GOOD }]);
}

/// 2.7.4.2: "The driver MUST place any device-writable descriptor elements after any device-readable descriptor elements."
#[test]
fn reading_after_writing_is_refused() {
    stops("direction", &[Raw { flags: NEXT | WRITE, next: 1, ..GOOD }, GOOD]);
}

/// 2.7.5.3.1: neither within another table, nor with a next descriptor, nor of another length than descriptors have.
#[test]
fn indirect_tables_have_rules() {
    let table = |len, flags| Raw { address: 0x1000, len, flags: INDIRECT | flags, next: 1 };
    stops("nested", &[table(32, 0), GOOD]);
    stops("with a next", &[table(16, NEXT), GOOD]);
    for len in [0, 1, 15, 17, 16 * 1025, 0xffff_fff0] {
        stops("length", &[table(len, 0)]);
    }
}

/// 2.7.13.2.. "A driver MUST NOT decrement the available idx on a virtqueue", nor can it be further ahead than the queue is long.
#[test]
fn an_index_that_jumps_stops_the_queue() {
    for idx in [17, 18, 0x7fff, 0x8000, u16::MAX] {
        let mut rig = rig();
        rig.driver.set_available_idx(idx);
        rig.round();
        assert!(rig.is_stopped(), "{idx}");
    }
    // Backwards, once it has gone on.
    let mut rig = rig();
    rig.exchange(&[Part::Read(vec![1]), Part::Write(1)]);
    rig.driver.set_available_idx(0);
    rig.round();
    assert!(rig.is_stopped(), "backwards");
}

#[test]
fn the_same_chain_again_and_again_does_not_pile_up() {
    let echo = Arc::new(Echo::default());
    *echo.slow.lock().unwrap() = true;
    let mut rig = Rig::new(echo);
    rig.driver.write_descriptor(0, GOOD);
    for _ in 0..100 {
        rig.driver.make_available(0);
        rig.round();
    }
    assert!(rig.is_stopped());
    assert_eq!(rig.counters.chains.get(), 16, "no more than the queue has entries");
}

#[test]
fn a_round_is_bounded() {
    let mut rig = rig();
    rig.driver.write_descriptor(0, GOOD);
    for _ in 0..16 {
        rig.driver.make_available(0);
    }
    assert!(!rig.round().again, "it has seen all of it");
    for _ in 0..16 {
        rig.driver.make_available(0);
    }
    rig.round();
    assert_eq!(rig.counters.chains.get(), 32);
}

#[test]
fn rings_outside_memory_stop_the_queue() {
    use virtio_queue::QueueT;
    let set: [fn(&mut virtio_queue::Queue); 4] = [
        |queue| queue.set_desc_table_address(Some(0), Some(1)),
        |queue| queue.set_avail_ring_address(Some((MEMORY_END - 2) as u32), Some(0)),
        |queue| queue.set_used_ring_address(Some((MEMORY_END - 4) as u32), Some(0)),
        |queue| queue.set_used_ring_address(Some(u32::MAX - 3), Some(u32::MAX)),
    ];
    for set in set {
        let mut rig = rig();
        set(rig.queue());
        rig.driver.write_descriptor(0, GOOD);
        rig.driver.make_available(0);
        rig.round();
        assert!(rig.is_stopped());
    }
}

#[test]
fn a_reset_makes_a_stopped_queue_work_again() {
    let mut rig = rig();
    rig.driver.set_available_idx(u16::MAX);
    rig.round();
    assert!(rig.is_stopped());
    rig.restart();
    rig.driver.set_available_idx(0);
    assert_eq!(rig.exchange(&[Part::Read(vec![5]), Part::Write(1)]).bytes, [5]);
}

fn raw() -> impl Strategy<Value = Raw> {
    let address = prop_oneof![
        0x10_0000..0x20_0000_u64,
        Just(MEMORY_END - 4),
        0x1000..0x1100_u64,
        0x8000..0x8100_u64,
        0x1_0000..0x1_0100_u64,
        any::<u64>()
    ];
    let len = prop_oneof![0..64_u32, Just(16), Just(32), Just(4096), any::<u32>()];
    (address, len, 0..8_u16, prop_oneof![0..18_u16, any::<u16>()])
        .prop_map(|(address, len, flags, next)| Raw { address, len, flags, next })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any table, any heads, over any part of memory, the rings themselves included: it ends, and without a panic.
    #[test]
    fn any_rings_are_survived(
        table in prop::collection::vec(raw(), 16),
        heads in prop::collection::vec(0..20_u16, 1..16),
        jump in prop_oneof![4 => Just(0_u16), 1 => any::<u16>()],
        event_idx in any::<bool>(),
    ) {
        let mut rig = Rig::with(Arc::new(Echo::default()), 0, 16, event_idx, None);
        for (index, raw) in table.iter().enumerate() {
            rig.driver.write_descriptor(index as u16, *raw);
        }
        for head in heads {
            rig.driver.make_available(head);
        }
        if jump != 0 {
            rig.driver.set_available_idx(jump);
        }
        // A device may write to its own rings if the driver points it there, and then find more: but not for ever.
        for _ in 0..64 {
            rig.round();
        }
    }

    /// Any good message arrives whole, however it is cut.
    #[test]
    fn any_framing_is_the_same_message(
        message in prop::collection::vec(any::<u8>(), 1..200),
        cuts in prop::collection::vec(0..200_usize, 0..6),
        room in prop::collection::vec(0..64_usize, 1..6),
        indirect in any::<bool>(),
        straddle in 0..100_u64,
    ) {
        let mut rig = rig();
        rig.driver.straddle(straddle);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(message.len())).collect();
        cuts.push(0);
        cuts.push(message.len());
        cuts.sort_unstable();
        let mut parts: Vec<_> = cuts.windows(2).map(|cut| Part::Read(message[cut[0]..cut[1]].to_vec())).collect();
        parts.extend(room.iter().map(|len| Part::Write(*len)));
        if indirect { rig.driver.send_indirect(&parts) } else { rig.driver.send(&parts) };
        let used = rig.wait(1).remove(0);
        let written = message.len().min(room.iter().sum());
        prop_assert_eq!(used.written as usize, written);
        prop_assert_eq!(&used.bytes[..written], &message[..written]);
        prop_assert!(used.bytes[written..].iter().all(|byte| *byte == 0xee), "not a byte more");
    }
}
