// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rng` behind the mock driver.

use std::sync::Arc;

use blockyard_device::mock::{Part, Rig};
use blockyard_device::{Device, DeviceSpec};

fn rig() -> (Arc<dyn Device>, Rig) {
    let device = "rng".parse::<DeviceSpec>().unwrap().make().unwrap();
    (device.clone(), Rig::new(device))
}

/// 5.4.6.2: "The device MUST place one or more random bytes into the buffer, but it MAY use less than the entire buffer
/// length."
#[test]
fn a_buffer_is_filled_with_other_bytes_each_time() {
    let (device, mut rig) = rig();
    let one = rig.exchange(&[Part::Write(10), Part::Write(54)]);
    let other = rig.exchange(&[Part::Write(64)]);
    assert_eq!((one.written, other.written), (64, 64));
    assert_ne!(one.bytes, other.bytes);
    let bytes = device.figures().into_iter().find(|figure| figure.name == "rng.bytes").unwrap();
    assert_eq!(bytes.value, 128);
}

#[test]
fn a_huge_buffer_is_filled_at_its_front() {
    let (_, mut rig) = rig();
    let used = rig.exchange(&[Part::Write(1 << 20)]);
    assert_eq!(used.written, 64 << 10);
    assert!(used.bytes[64 << 10..].iter().all(|byte| *byte == 0xee), "the rest is as it was");
}

/// 5.4.6.1: "The driver MUST NOT place driver-readable buffers into the queue."
#[test]
fn a_buffer_to_read_stops_the_queue() {
    for parts in [vec![Part::Read(vec![1])], vec![Part::Read(vec![1]), Part::Write(8)]] {
        let (_, mut rig) = rig();
        rig.driver.send(&parts);
        rig.round();
        assert!(rig.is_stopped());
    }
}
