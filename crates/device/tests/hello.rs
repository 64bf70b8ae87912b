// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hello` behind the mock driver: each promise that `blockyard_abi::virtio_hello` makes of the device.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use blockyard_abi::virtio_hello as abi;
use blockyard_abi::virtio_hello::{EchoReply, EchoRequest, Event};
use blockyard_device::mock::{Part, Rig, Used};
use blockyard_device::{Device, DeviceSpec};
use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

/// A device whose driver has chosen these features.
fn hello(options: &str, features: u64) -> Arc<dyn Device> {
    let device = format!("hello{options}").parse::<DeviceSpec>().unwrap().make().unwrap();
    device.negotiated(features);
    device
}

fn queue(device: &Arc<dyn Device>, index: u16) -> Rig {
    Rig::with(device.clone(), index.into(), 16, true, None)
}

/// The device leaves what was sent where it is.
#[track_caller]
fn nothing_comes_back(rig: &mut Rig) {
    rig.round();
    assert_eq!(rig.driver.used(), None);
    assert!(!rig.is_stopped());
}

/// A device that a program can connect to.
struct Open {
    device: Arc<dyn Device>,
    stream: PathBuf,
    _dir: tempfile::TempDir,
}

fn open(options: &str) -> Open {
    let dir = tempfile::tempdir().unwrap();
    let device = hello(options, abi::FEATURES);
    device.start(&dir.path().join("hello0.sock")).unwrap();
    Open { device, stream: dir.path().join("hello0.stream"), _dir: dir }
}

impl Open {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.stream).unwrap()
    }
}

fn request(op: u32, tag: u32, payload: &[u8]) -> Vec<u8> {
    let header = EchoRequest {
        op: op.into(),
        length: (payload.len() as u32).into(),
        checksum: abi::checksum(payload).into(),
        tag: tag.into(),
    };
    [header.as_bytes(), payload].concat()
}

fn reply(used: &Used) -> (EchoReply, &[u8]) {
    let (header, rest) = used.bytes[..used.written as usize].split_at(size_of::<EchoReply>());
    (EchoReply::read_from_bytes(header).unwrap(), rest)
}

/// The status, for a request with room for a reply of 100 bytes of payload.
fn status(device: &Arc<dyn Device>, request: Vec<u8>) -> u32 {
    let used = queue(device, abi::QUEUE_ECHO).exchange(&[Part::Read(request), Part::Write(116)]);
    let (reply, payload) = reply(&used);
    assert!(reply.status == abi::STATUS_OK || payload.is_empty(), "a refusal has no payload");
    reply.status.get()
}

#[test]
fn the_configuration_is_as_it_is_laid_down() {
    let device = hello(",capacity=4K,max-message=2M,no-reverse", 0);
    let config = abi::Config::read_from_bytes(&device.config()).unwrap();
    assert_eq!((config.version.get(), config.max_message.get(), config.capacity.get()), (1, 2 << 20, 4096));
    assert_eq!(config.features.get(), device.features());
    assert_eq!((device.id(), device.queues()), (35, 4));
    assert!(device.write_config(0, &[1]).is_err(), "a driver does not write it");
}

#[test]
fn an_echo_comes_back_with_its_tag_and_its_checksum() {
    let used = queue(&hello("", abi::FEATURES), abi::QUEUE_ECHO)
        .exchange(&[Part::Read(request(abi::OP_REVERSE, 7, b"abc")), Part::Write(100)]);
    let (reply, payload) = reply(&used);
    assert_eq!((reply.status.get(), reply.length.get(), reply.tag.get()), (abi::STATUS_OK, 3, 7));
    assert_eq!((payload, reply.checksum.get()), (&b"cba"[..], abi::checksum(b"cba")));
}

#[test]
fn what_is_wrong_with_a_request_is_its_status() {
    let device = hello(",max-message=100", abi::FEATURES);
    let good = request(abi::OP_ECHO, 1, b"payload");
    assert_eq!(status(&device, good.clone()), abi::STATUS_OK);
    assert_eq!(status(&device, request(2, 1, b"payload")), abi::STATUS_UNSUPPORTED);
    assert_eq!(status(&device, good[..15].to_vec()), abi::STATUS_LENGTH, "shorter than its header");
    assert_eq!(status(&device, good[..20].to_vec()), abi::STATUS_LENGTH, "shorter than its length");
    assert_eq!(status(&device, [&good[..], b"!"].concat()), abi::STATUS_LENGTH, "longer than its length");
    assert_eq!(status(&device, request(abi::OP_ECHO, 1, &[0; 101])), abi::STATUS_LENGTH, "above the limit");
    assert_eq!(status(&device, request(abi::OP_ECHO, 1, &[0; 100])), abi::STATUS_OK, "at the limit");
    let mut flipped = good;
    flipped[18] ^= 1;
    assert_eq!(status(&device, flipped), abi::STATUS_CHECKSUM);
}

#[test]
fn without_their_features_nobody_looks_at_checksums_and_nothing_is_reversed() {
    let device = hello("", 1 << abi::F_EVENTS);
    let mut wrong = request(abi::OP_ECHO, 1, b"payload");
    wrong[8..12].copy_from_slice(b"bad!");
    let used = queue(&device, abi::QUEUE_ECHO).exchange(&[Part::Read(wrong), Part::Write(100)]);
    assert_eq!((reply(&used).0.status.get(), reply(&used).0.checksum.get()), (abi::STATUS_OK, 0));
    assert_eq!(status(&device, request(abi::OP_REVERSE, 1, b"x")), abi::STATUS_UNSUPPORTED);
}

#[test]
fn a_feature_that_is_not_offered_is_not_there_whatever_a_driver_says() {
    let device = hello(",no-reverse", abi::FEATURES);
    assert_eq!(status(&device, request(abi::OP_REVERSE, 1, b"x")), abi::STATUS_UNSUPPORTED);
}

#[test]
fn an_answer_without_room_says_how_much_it_needs_and_the_queue_goes_on() {
    let mut rig = queue(&hello("", abi::FEATURES), abi::QUEUE_ECHO);
    let echo = request(abi::OP_ECHO, 9, b"payload");
    let used = rig.exchange(&[Part::Read(echo.clone()), Part::Write(16 + 6)]);
    let (answer, payload) = reply(&used);
    assert_eq!((answer.status.get(), answer.length.get(), answer.tag.get()), (abi::STATUS_NO_ROOM, 7, 9));
    assert!(payload.is_empty());
    // "A chain with no room for a reply at all is given back with used length 0."
    assert_eq!(rig.exchange(&[Part::Read(echo.clone()), Part::Write(15)]).written, 0);
    assert_eq!(rig.exchange(&[Part::Read(echo.clone())]).written, 0);
    let used = rig.exchange(&[Part::Read(echo), Part::Write(16 + 7)]);
    assert_eq!(reply(&used).0.status.get(), abi::STATUS_OK);
}

/// Cuts bytes, or room for them, into parts at these places.
fn cut<T>(len: usize, cuts: &[usize], part: impl Fn(usize, usize) -> T) -> Vec<T> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % len.max(1)).chain([len]).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut begin = 0;
    let parts = ends.into_iter().filter(|end| *end > 0);
    parts.map(|end| part(std::mem::replace(&mut begin, end), end)).collect()
}

proptest! {
    /// 2.7.4: "The framing of messages with descriptors is independent of the contents of the buffers."
    #[test]
    fn where_a_message_is_cut_means_nothing(
        payload in prop::collection::vec(any::<u8>(), 0..5000),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        room_cuts in prop::collection::vec(any::<usize>(), 0..6),
        indirect: bool,
    ) {
        let message = request(abi::OP_ECHO, 5, &payload);
        let mut parts = cut(message.len(), &cuts, |from, to| Part::Read(message[from..to].to_vec()));
        parts.extend(cut(payload.len() + 16, &room_cuts, |from, to| Part::Write(to - from)));
        let mut rig = queue(&hello("", abi::FEATURES), abi::QUEUE_ECHO);
        if indirect { rig.driver.send_indirect(&parts); } else { rig.driver.send(&parts); }
        let used = rig.wait(1).remove(0);
        let (answer, echoed) = reply(&used);
        prop_assert_eq!(answer.status.get(), abi::STATUS_OK);
        prop_assert_eq!(echoed, &payload[..]);
    }

    #[test]
    fn any_bytes_are_a_request_with_an_answer(bytes in prop::collection::vec(any::<u8>(), 1..200), room in 1usize..200) {
        let mut rig = queue(&hello(",max-message=64", abi::FEATURES), abi::QUEUE_ECHO);
        let used = rig.exchange(&[Part::Read(bytes), Part::Write(room)]);
        prop_assert!(used.written as usize <= room);
        prop_assert!(used.written == 0 || used.written >= 16);
        prop_assert!(!rig.is_stopped());
    }
}

#[test]
fn the_guest_gets_what_there_is_as_soon_as_there_is_a_byte() {
    let open = open("");
    let mut rig = queue(&open.device, abi::QUEUE_STREAM_IN);
    rig.driver.send(&[Part::Write(100)]);
    nothing_comes_back(&mut rig);
    open.connect().write_all(b"hello").unwrap();
    let used = rig.wait(1).remove(0);
    assert_eq!((used.written, &used.bytes[..5]), (5, &b"hello"[..]));
    assert_eq!(used.bytes[5], 0xee, "no more than was told is written");
}

#[test]
fn a_stream_to_the_guest_is_whole_and_in_order_whatever_its_buffers() {
    let open = open(",capacity=1000");
    let mut program = open.connect();
    let sent: Vec<u8> = (0..50_000u32).map(|i| (i * 31 % 251) as u8).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || program.write_all(&sent).unwrap());
    let mut rig = queue(&open.device, abi::QUEUE_STREAM_IN);
    let mut received = Vec::new();
    while received.len() < expected.len() {
        rig.driver.send(&[Part::Write(1), Part::Write(received.len() % 300 + 1)]);
        let used = rig.wait(1).remove(0);
        received.extend_from_slice(&used.bytes[..used.written as usize]);
    }
    writer.join().unwrap();
    assert!(received == expected);
}

#[test]
fn the_guests_bytes_wait_for_a_program_and_then_for_room() {
    let open = open(",capacity=100");
    let mut rig = queue(&open.device, abi::QUEUE_STREAM_OUT);
    let used = rig.exchange(&[Part::Read(vec![1; 60])]);
    assert_eq!(used.written, 0, "nothing is written to what the device reads");
    // No program is there yet: it is kept, and the next waits for room for all of it.
    rig.driver.send(&[Part::Read(vec![2; 41])]);
    nothing_comes_back(&mut rig);
    let mut program = open.connect();
    assert_eq!(rig.wait(1).len(), 1, "the program has made room");
    // More than the device ever holds goes in pieces.
    rig.driver.send(&[Part::Read(vec![3; 700]), Part::Read(vec![4; 300])]);
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; 1101];
        program.read_exact(&mut received).map(|()| received)
    });
    rig.wait(1);
    let expected = [vec![1; 60], vec![2; 41], vec![3; 700], vec![4; 300]].concat();
    assert!(reader.join().unwrap().unwrap() == expected);
}

#[test]
fn what_waits_for_room_is_not_told_twice_after_a_reset() {
    let open = open(",capacity=10");
    let mut rig = queue(&open.device, abi::QUEUE_STREAM_OUT);
    rig.exchange(&[Part::Read(b"0123456789".to_vec())]);
    rig.driver.send(&[Part::Read(b"abc".to_vec())]);
    nothing_comes_back(&mut rig);
    rig.restart();
    let mut program = open.connect();
    let mut received = [0; 10];
    program.read_exact(&mut received).unwrap();
    program.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    assert!(program.read(&mut received).is_err(), "what the driver took back was sent");
}

/// The next event, once there is one.
fn event(rig: &mut Rig) -> (u32, u32, u64) {
    rig.driver.send(&[Part::Write(size_of::<Event>())]);
    let used = rig.wait(1).remove(0);
    assert_eq!(used.written as usize, size_of::<Event>());
    let event = Event::read_from_bytes(&used.bytes).unwrap();
    (event.kind.get(), event.lost.get(), event.value.get())
}

#[test]
fn an_end_is_told_after_what_was_sent_before_it() {
    let open = open("");
    let mut events = queue(&open.device, abi::QUEUE_EVENT);
    let mut stream = queue(&open.device, abi::QUEUE_STREAM_IN);
    open.connect().write_all(b"last words").unwrap();
    assert_eq!(event(&mut events), (abi::EVENT_OPENED, 0, 1));
    events.driver.send(&[Part::Write(16)]);
    stream.driver.send(&[Part::Write(4)]);
    assert_eq!(stream.wait(1)[0].written, 4);
    // Six bytes are left.
    nothing_comes_back(&mut events);
    stream.driver.send(&[Part::Write(100)]);
    assert_eq!(stream.wait(1)[0].written, 6);
    let used = events.wait(1).remove(0);
    let told = Event::read_from_bytes(&used.bytes).unwrap();
    assert_eq!((told.kind.get(), told.value.get()), (abi::EVENT_CLOSED, 10));
}

#[test]
fn programs_come_one_after_the_other() {
    let open = open("");
    let mut events = queue(&open.device, abi::QUEUE_EVENT);
    let first = open.connect();
    let second = open.connect();
    assert_eq!(event(&mut events), (abi::EVENT_OPENED, 0, 1));
    // One that has only finished sending is still there.
    first.shutdown(Shutdown::Write).unwrap();
    let mut out = queue(&open.device, abi::QUEUE_STREAM_OUT);
    out.exchange(&[Part::Read(b"for the first".to_vec())]);
    let mut received = [0; 13];
    (&first).read_exact(&mut received).unwrap();
    assert_eq!(&received, b"for the first");
    drop(first);
    assert_eq!(event(&mut events), (abi::EVENT_CLOSED, 0, 0));
    assert_eq!(event(&mut events), (abi::EVENT_OPENED, 0, 2));
    drop(second);
}

#[test]
fn events_beyond_those_that_are_kept_are_counted() {
    let open = open("");
    let mut events = queue(&open.device, abi::QUEUE_EVENT);
    let programs = 20;
    for _ in 0..programs {
        // Each is served when the one before has gone; this one is, when its byte comes back.
        let mut program = open.connect();
        let mut out = queue(&open.device, abi::QUEUE_STREAM_OUT);
        out.exchange(&[Part::Read(b"x".to_vec())]);
        program.read_exact(&mut [0]).unwrap();
    }
    // The last one's end must be there, too: this one comes after it.
    let mut last = open.connect();
    queue(&open.device, abi::QUEUE_STREAM_OUT).exchange(&[Part::Read(b"x".to_vec())]);
    last.read_exact(&mut [0]).unwrap();
    for kept in 1..=abi::EVENTS_KEPT as u64 / 2 {
        assert_eq!(event(&mut events), (abi::EVENT_OPENED, 0, kept));
        assert_eq!(event(&mut events), (abi::EVENT_CLOSED, 0, 0));
    }
    drop(last);
    let lost = 2 * programs + 1 - abi::EVENTS_KEPT as u32;
    assert_eq!(event(&mut events), (abi::EVENT_CLOSED, lost, 0));
}

#[test]
fn without_the_feature_the_event_queue_is_not_touched() {
    let open = open("");
    open.device.negotiated(1 << abi::F_CHECKSUM);
    let mut events = queue(&open.device, abi::QUEUE_EVENT);
    events.driver.send(&[Part::Write(16)]);
    let mut program = open.connect();
    // When its byte comes back, it has been seen.
    queue(&open.device, abi::QUEUE_STREAM_OUT).exchange(&[Part::Read(b"x".to_vec())]);
    program.read_exact(&mut [0]).unwrap();
    nothing_comes_back(&mut events);
}

#[test]
fn buffers_of_the_wrong_direction_stop_their_queue_alone() {
    let open = open("");
    let wrong = [
        (abi::QUEUE_STREAM_IN, Part::Read(vec![1])),
        (abi::QUEUE_STREAM_OUT, Part::Write(1)),
        (abi::QUEUE_EVENT, Part::Read(vec![1; 16])),
        (abi::QUEUE_EVENT, Part::Write(15)),
    ];
    for (index, part) in wrong {
        let mut rig = queue(&open.device, index);
        rig.driver.send(&[part]);
        rig.round();
        assert!(rig.is_stopped(), "queue {index}");
        assert_eq!(rig.driver.used(), None);
    }
    assert_eq!(status(&open.device, request(abi::OP_ECHO, 1, b"still")), abi::STATUS_OK);
}

#[test]
fn a_stream_socket_in_use_or_too_long_is_named() {
    let first = open("");
    let other = hello("", 0);
    let error = other.start(&first.stream.with_extension("sock")).unwrap_err().to_string();
    assert!(error.contains("hello0.stream") && error.contains("listens there"), "{error}");
    let error = hello("", 0).start(&PathBuf::from("/tmp").join("x".repeat(200))).unwrap_err().to_string();
    assert!(error.contains("at most 107"), "{error}");
    let stream = first.stream.clone();
    drop(first);
    assert!(!stream.exists(), "the socket goes with the device");
}
