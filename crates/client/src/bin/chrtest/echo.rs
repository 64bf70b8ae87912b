// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages through `virtio_hello`: of all lengths, in all pieces, many of them, and from many files.

use std::error::Error as _;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use blockyard_abi::ioctl::Ioctl;
use blockyard_abi::virtio_hello::{OP_ECHO, OP_REVERSE};
use blockyard_abi::virtio_hello_echo::{GET_WAY, IOCTL_TYPE, MOST_MESSAGES, SET_WAY, Way};
use blockyard_client::chrdev::{EchoDevice, Error};
use zerocopy::IntoBytes;

use crate::outcome;
use crate::place::{Pages, Place};

/// Up to here every length is sent in pieces of every length.
const ALL_UP_TO: usize = 20;
/// Longer ones that lie around limits of pages, of pieces and of chains.
const LENGTHS: [usize; 12] = [21, 62, 63, 64, 127, 128, 511, 4095, 4096, 4097, 65_535, 65_536];
/// Lengths of pieces for them. 1 is as many as a chain can have.
const PIECES: [u32; 8] = [0, 1, 511, 512, 4096, 4097, 32_768, 1 << 20];

fn open(device: &Path) -> io::Result<EchoDevice> {
    EchoDevice::open(device).map_err(explained)
}

/// The error with its cause.
fn explained(error: Error) -> io::Error {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    io::Error::other(format!("{error}{cause}"))
}

/// Bytes that are others for each seed.
fn contents(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// Receives a reply, which must be this.
fn expect(device: &EchoDevice, buffer: &mut [u8], expected: &[u8], what: &str) -> io::Result<()> {
    let length = device.receive(buffer).map_err(explained)?;
    if buffer[..length] != *expected {
        let why = format!("{what}: {length} bytes came back that are not the {} sent", expected.len());
        return Err(io::Error::other(why));
    }
    Ok(())
}

/// Sends these bytes there and back, and compares.
fn round_trip(device: &EchoDevice, bytes: &[u8], way: Way) -> io::Result<()> {
    device.set_way(way).map_err(explained)?;
    device.send(bytes).map_err(explained)?;
    // A byte of room more than there should be, for one that is too many.
    let mut buffer = vec![0; bytes.len() + 1];
    let what = format!("{} bytes, {way:?}", bytes.len());
    if way.op == OP_REVERSE {
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        return expect(device, &mut buffer, &reversed, &what);
    }
    expect(device, &mut buffer, bytes, &what)
}

pub(crate) fn splits(device: &Path, longest: usize) -> io::Result<()> {
    let device = open(device)?;
    let mut sent = 0;
    let mut send = |length: usize, request_piece: u32, reply_piece: u32| {
        sent += 1;
        let op = if sent % 2 == 0 { OP_REVERSE } else { OP_ECHO };
        let way = Way { op, request_piece, reply_piece, reserved: 0 };
        round_trip(&device, &contents(sent, length), way)
    };
    for length in 1..=ALL_UP_TO {
        for request_piece in 1..=length as u32 {
            for reply_piece in 1..=length as u32 {
                send(length, request_piece, reply_piece)?;
            }
        }
    }
    for length in LENGTHS.into_iter().chain([longest - 1, longest]) {
        for request_piece in PIECES {
            for reply_piece in PIECES {
                send(length, request_piece, reply_piece)?;
            }
        }
    }
    println!("{sent} messages came back");
    Ok(())
}

pub(crate) fn many(device: &Path, count: u64, length: usize, window: u64) -> io::Result<()> {
    let device = open(device)?;
    let mut bytes = contents(0, length);
    let mut buffer = vec![0; length + 1];
    // Each message has its number at its beginning, as far as there is room.
    let mut numbered = |number: u64| {
        let number = number.to_le_bytes();
        let room = length.min(number.len());
        bytes[..room].copy_from_slice(&number[..room]);
        bytes.clone()
    };
    let (begun, worked, mut sent) = (Instant::now(), processor_time()?, 0);
    for received in 0..count {
        while sent < count && sent - received < window {
            device.send(&numbered(sent)).map_err(explained)?;
            sent += 1;
        }
        let expected = numbered(received);
        expect(&device, &mut buffer, &expected, &format!("message {received}"))?;
    }
    let each = |time: Duration| time.as_nanos() / u128::from(count.max(1));
    let (passed, worked) = (each(begun.elapsed()), each(processor_time()?.saturating_sub(worked)));
    println!(
        "{count} messages of {length} bytes, {window} at a time: {passed} ns each, {worked} of them this program's"
    );
    Ok(())
}

/// How long this process has run. In a guest whose clock counts instructions it is their number.
fn processor_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is there to be written.
    match unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) } {
        0 => Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn openers(device: &Path, openers: u64, count: u64) -> io::Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..openers)
            .map(|opener| {
                scope.spawn(move || -> io::Result<()> {
                    for round in 0..count {
                        // Each has the device open many times, one after the other, and leaves some messages behind.
                        let device = open(device)?;
                        let length = 1 + ((opener * 37 + round * 101) % 9000) as usize;
                        let bytes = contents(opener << 32 | round, length);
                        round_trip(&device, &bytes, Way::default())?;
                        for _ in 0..round % 4 {
                            device.send(&bytes).map_err(explained)?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a thread panicked"))?)
    })?;
    println!("{openers} openers had their own {count} messages back");
    Ok(())
}

pub(crate) fn refusals(device: &Path) -> io::Result<()> {
    let options = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options
    };
    let mut file = options().open(device)?;
    let mut pages = Pages::new()?;
    let mut call = |what: &str, number: Ioctl, place: Place, argument: &Way| {
        println!("{what}: {}", outcome(pages.ioctl(&file, number, place, argument.as_bytes())));
    };
    let way = Way { op: OP_ECHO, ..Way::default() };
    call("unknown number", Ioctl::none(IOCTL_TYPE, 99), Place::Good, &way);
    call("unknown operation", SET_WAY.number(), Place::Good, &Way { op: 99, ..way });
    call("reserved", SET_WAY.number(), Place::Good, &Way { reserved: 1, ..way });
    call("set at null", SET_WAY.number(), Place::Null, &way);
    call("set across", SET_WAY.number(), Place::Across, &way);
    call("get into read-only", GET_WAY.number(), Place::ReadOnly, &way);
    println!("empty: {}", outcome(file.write(&[]).map(drop)));
    println!("too long: {}", outcome(file.write(&vec![0; (1 << 20) + 1]).map(drop)));

    let mut file = options().custom_flags(libc::O_NONBLOCK).open(device)?;
    println!("nothing to read: {}", outcome(file.read(&mut [0]).map(drop)));
    for _ in 0..MOST_MESSAGES {
        file.write_all(b"message")?;
    }
    println!("one too many: {}", outcome(file.write(b"message").map(drop)));
    Ok(())
}
