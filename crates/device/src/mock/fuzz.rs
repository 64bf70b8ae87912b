// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the fuzzers run, as plain functions: `fuzz/` calls them with bytes that it makes up, and a test with those that were
//! kept.
//!
//! They panic where a promise is broken: a queue that does not end its round, a status that is none, a byte written that was
//! not to be. Whatever else panics does so by itself.

use std::sync::Arc;

use blockyard_abi::virtio_hello as abi;
use blockyard_abi::virtio_hello::{EchoReply, EchoRequest};
use zerocopy::FromBytes;

use super::{Part, Raw, Rig};
use crate::chain::Chain;
use crate::device::{Answer, Device, Handler, Waker};
use crate::error::Result;
use crate::spec::DeviceSpec;

/// Entries of the queue.
const SIZE: u16 = 16;
/// Rounds after which a device that found work in all of them is said to spin. It may write into its own rings, when the
/// driver points it there, and so make work for itself; but each round sees all that there is.
const ROUNDS: usize = 64;

/// A device that reads all that it can read and writes it wherever it can write.
#[derive(Debug)]
struct Mirror;

impl Device for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn id(&self) -> u32 {
        0
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> usize {
        1
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn open(self: Arc<Self>, _queue: usize, _waker: Waker) -> Result<Box<dyn Handler>> {
        Ok(Box::new(Self))
    }
}

impl Handler for Mirror {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        let mut bytes = [0; 4096];
        let (mut readable, mut writable) = (chain.readable(), chain.writable());
        let (to_read, room) = (readable.len(), writable.len());
        let mut written = 0;
        loop {
            let read = readable.read(&mut bytes);
            if read == 0 {
                break;
            }
            written += writable.write(&bytes[..read]);
        }
        assert!(readable.is_empty(), "all of it can be read");
        assert_eq!(written, to_read.min(room), "as much as fits is written");
        Answer::Done(written as u32)
    }
}

/// The bytes are a descriptor table, an available ring, and memory that descriptors may point to.
pub fn chain(data: &[u8]) {
    let mut rig = Rig::with(Arc::new(Mirror), 0, SIZE, data.len().is_multiple_of(2), None);
    let mut data = data.chunks_exact(16);
    for (index, raw) in data.by_ref().take(SIZE.into()).enumerate() {
        rig.driver.write_descriptor(index as u16, descriptor(raw));
    }
    let heads = data.next().unwrap_or(&[0; 16]);
    for head in &heads[..8] {
        rig.driver.make_available(u16::from(*head) % (SIZE + 2));
    }
    if heads[8] == 0xff {
        rig.driver.set_available_idx(u16::from_le_bytes([heads[9], heads[10]]));
    }
    let table = rig.driver.take(0);
    for (index, raw) in data.enumerate().take(1024) {
        rig.driver.write_raw(table + 16 * index as u64, descriptor(raw));
    }
    let rounds = std::iter::repeat_with(|| rig.round()).take(ROUNDS).take_while(|round| round.again).count();
    assert!(rounds < ROUNDS, "the device spins");
}

/// Sixteen bytes as a descriptor. Most addresses are brought into memory, or nothing much would ever happen; with a first
/// byte of 255 they are what they are.
fn descriptor(bytes: &[u8]) -> Raw {
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let address = number(0..8);
    let wild = bytes[0] == 0xff;
    Raw {
        address: if wild { address } else { address % (super::MEMORY_END + 64) },
        len: if wild { number(8..12) as u32 } else { number(8..10) as u32 },
        flags: number(12..14) as u16,
        next: if wild { number(14..16) as u16 } else { number(14..15) as u16 % (SIZE + 2) },
    }
}

/// A request in two pieces, and room for its answer, if there is to be any.
fn parts(request: &[u8], cut: u8, room: usize) -> Vec<Part> {
    let (front, back) = request.split_at(usize::from(cut).min(request.len()));
    let mut parts = vec![Part::Read(front.to_vec()), Part::Read(back.to_vec())];
    parts.extend((room > 0).then_some(Part::Write(room)));
    parts
}

/// The bytes are a request to a disk, after one byte that says how it is cut and one that says how much room there is.
pub fn blk(data: &[u8]) {
    let (&[cut, room], request) = data.split_first_chunk().unwrap_or((&[0, 0], &[]));
    let spec: DeviceSpec = "blk,size=64K".parse().expect("a good description");
    let mut rig = Rig::new(spec.make().expect("a small disk"));
    let room = usize::from(room) * 64 + usize::from(room % 3);
    rig.driver.send(&parts(request, cut, room));
    rig.round();
    match rig.driver.used() {
        None => assert!(room == 0 && rig.is_stopped(), "a request with room for a status is answered"),
        Some(used) => {
            assert_eq!(used.written as usize, room);
            assert!(matches!(used.bytes.last(), Some(0..=2)), "a status is ok, an error, or unsupported");
        }
    }
}

/// The bytes are an echo, after one byte of the features that the driver has chosen, one that says how the request is cut,
/// and one that says how much room there is.
pub fn echo(data: &[u8]) {
    let (&[features, cut, room], request) = data.split_first_chunk().unwrap_or((&[0; 3], &[]));
    let spec: DeviceSpec = "hello,max-message=1024".parse().expect("a good description");
    let device = spec.make().expect("a small device");
    device.negotiated(features.into());
    let mut rig = Rig::with(device, abi::QUEUE_ECHO.into(), SIZE, true, None);
    let room = usize::from(room) * 8 + usize::from(room % 3);
    rig.driver.send(&parts(request, cut, room));
    rig.round();
    let used = rig.driver.used().expect("whatever it is, it comes back");
    let Ok((reply, payload)) = EchoReply::read_from_prefix(&used.bytes[..used.written as usize]) else {
        assert!(used.written == 0 && room < size_of::<EchoReply>(), "a reply is whole: {used:?}");
        return;
    };
    let status = reply.status.get();
    assert!(status <= abi::STATUS_NO_ROOM, "{used:?}");
    if status != abi::STATUS_OK {
        assert!(payload.is_empty(), "only an echo has a payload: {used:?}");
        return;
    }
    let (header, sent) = EchoRequest::read_from_prefix(request).expect("what was accepted has a header");
    assert_eq!((reply.tag, reply.length.get() as usize), (header.tag, payload.len()));
    let sent = sent.iter().copied();
    match header.op.get() {
        abi::OP_ECHO => assert!(sent.eq(payload.iter().copied()), "{used:?}"),
        _ => assert!(sent.rev().eq(payload.iter().copied()), "{used:?}"),
    }
}
