// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! The files of the driver `virtio_hello`: their names, and the ioctls of the one that echoes.
//!
//! What the driver says to its device is in [`virtio_hello`](crate::virtio_hello); this is what programs say to the driver.
//! A device has up to three files, each named after the device's number:
//!
//! - `/dev/virtio_helloN-echo`: what is written is a message, and what is read its reply;
//! - `/dev/virtio_helloN-stream`: bytes to and from a program of the host;
//! - `/dev/virtio_helloN-events`: a line for each event, if device and driver have agreed on events.

use core::mem::size_of;

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::command::{Read, Write};

/// The echo file of the first device.
pub const PATH: &str = "/dev/virtio_hello0-echo";

/// How many messages a file may have on their way, or come back and not read: then writing waits.
pub const MOST_MESSAGES: usize = 16;

/// The `type` of all ioctls here; `Documentation/userspace-api/ioctl/ioctl-number.rst` has it free.
pub const IOCTL_TYPE: u8 = 0xbe;

/// Says how the messages travel that this file is given from now on. `EINVAL` if there is no such operation or
/// `reserved` is not 0, `EOPNOTSUPP` if the operation needs a feature that device and driver have not agreed on.
pub const SET_WAY: Write<Way> = Write::new(IOCTL_TYPE, 0);
/// Tells how. At first: [`OP_ECHO`](crate::virtio_hello::OP_ECHO), in pieces as the driver likes.
pub const GET_WAY: Read<Way> = Read::new(IOCTL_TYPE, 1);

/// How a message travels.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Way {
    /// What the device shall do: one of the operations `OP_` of [`virtio_hello`](crate::virtio_hello).
    pub op: u32,
    /// How long the pieces of memory are that the payload lies in, in bytes; the last may be shorter. 0 is as the
    /// driver likes, and pieces are longer if there would be more of them than a chain of descriptors can have.
    pub request_piece: u32,
    /// The same for the memory that the reply's payload comes into.
    pub reply_piece: u32,
    /// 0.
    pub reserved: u32,
}

// A size that changes here changes an ioctl's number: let it be on purpose.
const _: () = assert!(size_of::<Way>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_an_abi() {
        assert_eq!(SET_WAY.number().raw(), 0x4010_be00);
        assert_eq!(GET_WAY.number().raw(), 0x8010_be01);
    }
}
