// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! The virtio device `hello`: its id, its queues, its feature bits, its configuration and its messages.
//!
//! The device echoes messages, carries a stream of bytes each way between the guest and a program of the host, and tells
//! of events. It exists to show every part of virtio once: each queue has a rule of its own about who waits for whom,
//! and each feature bit changes something that can be seen. All numbers are little-endian, as virtio 1.x has them. As
//! with any virtio device, where a message is cut into descriptors means nothing (section 2.7.4 of the
//! specification, "Message framing"): a chain's readable bytes are one run of bytes, and its writable ones another.
//!
//! # Queues
//!
//! | index | name | a chain has | the device |
//! |---|---|---|---|
//! | 0 | [`QUEUE_ECHO`] | readable: [`EchoRequest`] and the payload; writable: room for [`EchoReply`] and the payload | answers each at once, in order |
//! | 1 | [`QUEUE_STREAM_IN`] | writable bytes only | fills it as soon as there is a byte from the host, and does not wait for it to be full |
//! | 2 | [`QUEUE_STREAM_OUT`] | readable bytes only | gives it back when the host's side has room for all of it |
//! | 3 | [`QUEUE_EVENT`] | writable: room for an [`Event`] | fills it when something happens |
//!
//! A chain's used length is the number of bytes that the device has written to it. A driver never relies on it: no length
//! that a device tells is more than the driver's own buffer.
//!
//! # Echo
//!
//! The reply is an [`EchoReply`] and, if its status is [`STATUS_OK`], as many bytes as the request had. A request that
//! the device refuses is answered with a status and no payload; the queue goes on. A chain with no room for a reply at all
//! is given back with used length 0.
//!
//! # Streams
//!
//! A program of the host connects to the device's stream socket. What it sends, the guest reads from
//! [`QUEUE_STREAM_IN`]; what the guest puts into [`QUEUE_STREAM_OUT`], it receives. They are bytes without
//! boundaries, in order, none lost or repeated. In each direction the device holds up to [`Config::capacity`] bytes; then
//! whoever sends waits: the host's program in its write, the guest with buffers that do not come back. Bytes from the
//! guest are kept while no program is connected.
//!
//! # Events
//!
//! Only with [`F_EVENTS`]. An event that finds no buffer is kept, up to [`EVENTS_KEPT`] of them; those beyond are lost, and
//! the event that comes after them tells their number ([`Event::lost`]).

use core::mem::size_of;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The module's name, and how its device nodes' names begin.
pub const NAME: &str = "virtio_hello";

/// The virtio id. It belongs to the virtio watchdog (`VIRTIO_ID_WATCHDOG`), for which Linux has no driver: the ids for
/// experiments are out of virtio-pci's reach, and QEMU wants one that it has a name for.
pub const DEVICE_ID: u32 = 35;

/// Echo, guest to host and back.
pub const QUEUE_ECHO: u16 = 0;
/// Bytes from the host to the guest.
pub const QUEUE_STREAM_IN: u16 = 1;
/// Bytes from the guest to the host.
pub const QUEUE_STREAM_OUT: u16 = 2;
/// Events from the device.
pub const QUEUE_EVENT: u16 = 3;
/// How many queues the device has, negotiated features or not.
pub const QUEUES: u16 = 4;

/// Feature bit (by its number): messages carry a checksum of their payload, and the device refuses a request whose
/// checksum is wrong. Without it both fields are 0 and nobody looks.
pub const F_CHECKSUM: u32 = 0;
/// Feature bit (by its number): a request may ask for [`OP_REVERSE`]. Without it that is [`STATUS_UNSUPPORTED`].
pub const F_REVERSE: u32 = 1;
/// Feature bit (by its number): there are events. Without it the device does not touch [`QUEUE_EVENT`].
pub const F_EVENTS: u32 = 2;
/// All three, as a mask.
pub const FEATURES: u64 = 1 << F_CHECKSUM | 1 << F_REVERSE | 1 << F_EVENTS;

/// [`Config::version`].
pub const VERSION: u32 = 1;
/// The longest payload of a message when the device was not told another, in bytes.
pub const DEFAULT_MAX_MESSAGE: u32 = 1 << 20;
/// How many bytes a stream holds in each direction when the device was not told another.
pub const DEFAULT_CAPACITY: u64 = 64 << 10;
/// How many undelivered events the device keeps.
pub const EVENTS_KEPT: usize = 16;

/// The configuration space. It does not change while the device is there, and a driver does not write it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Config {
    /// Of this layout and of the rules above: [`VERSION`]. A driver refuses one that it does not know.
    pub version: U32,
    /// The longest payload of a message, in bytes.
    pub max_message: U32,
    /// How many bytes each stream holds.
    pub capacity: U64,
    /// Those of [`FEATURES`] that the device offers, as a mask: to be compared with what was negotiated.
    pub features: U64,
}

/// [`EchoRequest::op`]: the payload as it is.
pub const OP_ECHO: u32 = 0;
/// [`EchoRequest::op`]: the payload, its last byte first. Needs [`F_REVERSE`].
pub const OP_REVERSE: u32 = 1;

/// What an echo begins with; the payload follows.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct EchoRequest {
    /// [`OP_ECHO`] or [`OP_REVERSE`].
    pub op: U32,
    /// How many bytes of payload follow: all that the chain has, else it is [`STATUS_LENGTH`].
    pub length: U32,
    /// [`checksum`] of the payload with [`F_CHECKSUM`], else 0.
    pub checksum: U32,
    /// Anything; the reply has the same.
    pub tag: U32,
}

/// What the answer begins with; the payload follows if the status is [`STATUS_OK`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct EchoReply {
    /// One of the `STATUS_` constants.
    pub status: U32,
    /// How many bytes of payload follow; with [`STATUS_NO_ROOM`] how many would have.
    pub length: U32,
    /// [`checksum`] of the payload with [`F_CHECKSUM`], else 0.
    pub checksum: U32,
    /// The request's tag, or 0 if the chain was too short to have one.
    pub tag: U32,
}

/// Done.
pub const STATUS_OK: u32 = 0;
/// The device knows no such operation, or the feature that it needs was not negotiated.
pub const STATUS_UNSUPPORTED: u32 = 1;
/// The request is shorter than its header, or its length is not that of its payload, or above [`Config::max_message`].
pub const STATUS_LENGTH: u32 = 2;
/// The checksum is not that of the payload.
pub const STATUS_CHECKSUM: u32 = 3;
/// The payload does not fit into the writable part of the chain.
pub const STATUS_NO_ROOM: u32 = 4;

/// [`Event::kind`]: a program of the host has connected to the stream socket. The value is how many have so far.
pub const EVENT_OPENED: u32 = 1;
/// [`Event::kind`]: it has gone; what it sent before comes first. The value is how many bytes it has sent.
pub const EVENT_CLOSED: u32 = 2;

/// Something happened.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Event {
    /// One of the `EVENT_` constants.
    pub kind: U32,
    /// How many events were lost between the one before and this one.
    pub lost: U32,
    /// What the kind says it is.
    pub value: U64,
}

/// A checksum of bytes that come in pieces: 32-bit FNV-1a. It finds accidents, not enemies.
///
/// Both sides compute it by this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(u32);

impl Checksum {
    /// That of no bytes.
    pub const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    /// With these bytes, too.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }

    /// The number.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

/// The checksum of these bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Checksum::new();
    sum.update(bytes);
    sum.value()
}

// A size that changes here changes the device: let it be on purpose.
const _: () = {
    assert!(size_of::<Config>() == 24);
    assert!(size_of::<EchoRequest>() == 16);
    assert!(size_of::<EchoReply>() == 16);
    assert!(size_of::<Event>() == 16);
};

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn numbers_are_little_endian() {
        let request = EchoRequest { op: 1.into(), length: 2.into(), checksum: 3.into(), tag: 4.into() };
        assert_eq!(request.as_bytes(), [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    }

    #[test]
    fn the_checksum_is_fnv_1a_whatever_the_pieces() {
        // From the algorithm's published test vectors.
        assert_eq!(checksum(b""), 0x811c_9dc5);
        assert_eq!(checksum(b"foobar"), 0xbf9c_f968);
        let mut pieces = Checksum::new();
        [&b"fo"[..], b"", b"obar"].iter().for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.value(), checksum(b"foobar"));
    }
}
