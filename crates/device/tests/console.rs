// SPDX-License-Identifier: MIT OR Apache-2.0
//! `console` behind the mock driver.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use blockyard_device::mock::{Part, Rig};
use blockyard_device::{Device, DeviceSpec};

const TO_GUEST: usize = 0;
const FROM_GUEST: usize = 1;

fn console(options: &str) -> (Arc<dyn Device>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let device = format!("console{options}").parse::<DeviceSpec>().unwrap().make().unwrap();
    device.start(&dir.path().join("c.sock")).unwrap();
    (device, dir)
}

fn queue(device: &Arc<dyn Device>, index: usize) -> Rig {
    Rig::with(device.clone(), index, 16, true, None)
}

/// The device leaves what was sent where it is.
#[track_caller]
fn nothing_comes_back(rig: &mut Rig) {
    rig.round();
    assert_eq!(rig.driver.used(), None);
    assert!(!rig.is_stopped());
}

#[test]
fn what_is_typed_reaches_the_guest_and_what_it_prints_the_host() {
    let (device, dir) = console("");
    let mut host = UnixStream::connect(dir.path().join("c.console")).unwrap();
    let (mut to_guest, mut from_guest) = (queue(&device, TO_GUEST), queue(&device, FROM_GUEST));
    to_guest.driver.send(&[Part::Write(80)]);
    nothing_comes_back(&mut to_guest);
    host.write_all(b"ls\n").unwrap();
    let used = to_guest.wait(1).remove(0);
    assert_eq!(&used.bytes[..used.written as usize], b"ls\n");
    from_guest.exchange(&[Part::Read(b"file".to_vec()), Part::Read(b"\n".to_vec())]);
    let mut printed = [0; 5];
    host.read_exact(&mut printed).unwrap();
    assert_eq!(&printed, b"file\n");
}

#[test]
fn what_nobody_reads_makes_room_for_what_comes_after_it() {
    let (device, dir) = console("");
    let mut rig = queue(&device, FROM_GUEST);
    for letter in 0..200u8 {
        rig.exchange(&[Part::Read(vec![letter; 1000])]);
    }
    // More than is ever kept, in one message.
    rig.exchange(&[Part::Read(vec![7; 100_000]), Part::Read(b"the end".to_vec())]);
    let mut host = UnixStream::connect(dir.path().join("c.console")).unwrap();
    let mut printed = vec![0; 64 << 10];
    host.read_exact(&mut printed).unwrap();
    assert!(printed.ends_with(b"\x07the end"));
    let forgotten = device.figures().into_iter().find(|figure| figure.name == "console.forgotten").unwrap();
    assert_eq!(forgotten.value, 200 * 1000 + 100_007 - (64 << 10));
}

#[test]
fn a_file_gets_all_of_it_and_gives_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (device, _dir) = console(&format!(",file={}", path.display()));
    queue(&device, FROM_GUEST).exchange(&[Part::Read(vec![b'a'; 40_000]), Part::Read(b"z".to_vec())]);
    let printed = std::fs::read(&path).unwrap();
    assert_eq!((printed.len(), printed.last()), (40_001, Some(&b'z')));
    let mut rig = queue(&device, TO_GUEST);
    rig.driver.send(&[Part::Write(1)]);
    nothing_comes_back(&mut rig);
}

/// 5.3.6.1: "The driver MUST NOT put a device-readable buffer in a receiveq. The driver MUST NOT put a device-writable
/// buffer in a transmitq."
#[test]
fn buffers_of_the_wrong_direction_stop_their_queue() {
    let (device, _dir) = console("");
    for (index, part) in [(TO_GUEST, Part::Read(vec![1])), (FROM_GUEST, Part::Write(1))] {
        let mut rig = queue(&device, index);
        rig.driver.send(&[part]);
        rig.round();
        assert!(rig.is_stopped(), "queue {index}");
    }
}
