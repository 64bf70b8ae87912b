// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two links back to back over a socket pair, as lab and agent.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::{Channel, Decoder, WINDOW};

/// Reads a link's port until it ends; what is opened goes to `opened`.
fn serve(link: Arc<Link>, mut port: UnixStream, opened: mpsc::Sender<(Stream, Request)>) {
    let mut decoder = Decoder::new();
    decoder.push(&Frame::hello(0).encode().unwrap());
    let mut buffer = [0; 4096];
    loop {
        while let Some(frame) = decoder.next_frame().unwrap() {
            if let Incoming::Open(stream, request) = link.receive(frame).unwrap() {
                opened.send((stream, request)).unwrap();
            }
        }
        match port.read(&mut buffer) {
            Ok(0) | Err(_) => return link.fail("the port is gone"),
            Ok(n) => decoder.push(&buffer[..n]),
        }
    }
}

struct Pair {
    lab: Arc<Link>,
    opened: mpsc::Receiver<(Stream, Request)>,
    ports: [UnixStream; 2],
}

fn pair() -> Pair {
    let (a, b) = UnixStream::pair().unwrap();
    let ports = [a.try_clone().unwrap(), b.try_clone().unwrap()];
    let (lab, agent) = (Link::new(a.try_clone().unwrap()), Link::new(b.try_clone().unwrap()));
    let (unused, _) = mpsc::channel();
    let (sender, opened) = mpsc::channel();
    let of_lab = lab.clone();
    thread::spawn(move || serve(of_lab, a, unused));
    thread::spawn(move || serve(agent, b, sender));
    Pair { lab, opened, ports }
}

fn request() -> Request {
    Request::KernelLog
}

#[test]
fn an_outcome_comes_after_all_the_data() {
    let pair = pair();
    let ours = pair.lab.open(request()).unwrap();
    let (theirs, _) = pair.opened.recv().unwrap();
    let sent = vec![3; 1_000_000];
    let copy = sent.clone();
    let writer = thread::spawn(move || {
        theirs.write(Channel::Out, &copy).unwrap();
        theirs.close(Outcome::Done).unwrap();
    });
    let mut got = Vec::new();
    let end = loop {
        match ours.next_event(None) {
            Event::Data(Channel::Out, bytes) => got.extend(bytes),
            other => break other,
        }
    };
    writer.join().unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    assert_eq!(end, Event::Closed(Outcome::Done));
}

#[test]
fn a_stream_that_nobody_reads_does_not_hold_up_another() {
    let pair = pair();
    let stuck = pair.lab.open(request()).unwrap();
    let (theirs, _) = pair.opened.recv().unwrap();
    let writer = thread::spawn(move || theirs.write(Channel::Out, &vec![0; 4 * WINDOW as usize]));
    for _ in 0..20 {
        let ours = pair.lab.open(request()).unwrap();
        let (theirs, _) = pair.opened.recv().unwrap();
        theirs.write(Channel::Err, b"hello").unwrap();
        theirs.close(Outcome::Exited(0)).unwrap();
        assert_eq!(ours.next_event(None), Event::Data(Channel::Err, b"hello".to_vec()));
        assert_eq!(ours.next_event(None), Event::Closed(Outcome::Exited(0)));
    }
    drop(stuck);
    assert_eq!(writer.join().unwrap(), Err(Closed::Over), "a dropped stream ends its writer");
}

#[test]
fn a_port_that_dies_ends_every_wait_with_the_reason() {
    let pair = pair();
    let ours = pair.lab.open(request()).unwrap();
    let (theirs, _) = pair.opened.recv().unwrap();
    let reader = thread::spawn(move || theirs.read(Channel::In));
    pair.ports[0].shutdown(std::net::Shutdown::Both).unwrap();
    assert!(matches!(ours.next_event(None), Event::Lost(_)));
    assert!(matches!(reader.join().unwrap(), Err(Closed::Lost(_))));
    assert!(matches!(pair.lab.open(request()), Err(Closed::Lost(_))));
}

#[test]
fn a_wait_with_a_deadline_ends() {
    let pair = pair();
    let ours = pair.lab.open(request()).unwrap();
    let soon = std::time::Instant::now() + Duration::from_millis(20);
    assert_eq!(ours.next_event(Some(soon)), Event::Nothing);
}

#[test]
fn a_signal_that_comes_before_its_handler_is_kept() {
    let pair = pair();
    let ours = pair.lab.open(request()).unwrap();
    let (theirs, _) = pair.opened.recv().unwrap();
    ours.signal(15).unwrap();
    ours.write(Channel::In, b"x").unwrap();
    assert_eq!(theirs.read(Channel::In).unwrap().as_deref(), Some(&b"x"[..]));
    let (sender, signals) = mpsc::channel();
    theirs.on_control(move |control| sender.send(control).unwrap());
    assert_eq!(signals.recv().unwrap(), Control::Signal(15));
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let pair = pair();
    let held: Vec<_> = (0..MAX_STREAMS).map(|_| pair.lab.open(request()).unwrap()).collect();
    assert!(matches!(pair.lab.open(request()), Err(Closed::Refused(_))));
    drop(held);
    assert!(pair.lab.open(request()).is_ok());
}

#[test]
fn data_beyond_the_credit_is_a_protocol_error() {
    let link = Link::new(std::io::sink());
    let _stream = link.open(request()).unwrap();
    let frame = |n| Frame::Data { stream: 0, channel: Channel::Out, bytes: vec![0; n] };
    for _ in 0..WINDOW / 1024 {
        link.receive(frame(1024)).unwrap();
    }
    assert!(matches!(link.receive(frame(1)), Err(ProtocolError::Overrun { stream: 0, bytes: 1 })));
}
