// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! `chardev_ioctl`, a device that keeps a message: its numbers and its ioctls.

use core::mem::size_of;

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::command::{Read, ReadWrite, Write};

/// The module's name, the device's, and that of its major in `/proc/devices`.
pub const NAME: &str = "chardev_ioctl";
/// The device's path.
pub const PATH: &str = "/dev/chardev_ioctl";
/// The major number, the same on every machine: one of those that `Documentation/admin-guide/devices.txt` keeps for
/// "local/experimental use" (60 to 63 and 120 to 127), which no driver of the kernel may claim.
pub const MAJOR: u32 = 120;

/// The `type` of all ioctls here; `Documentation/userspace-api/ioctl/ioctl-number.rst` has it free.
pub const IOCTL_TYPE: u8 = 0xbc;

/// Sets the message. `EMSGSIZE` if it is longer than [`MAX_LENGTH`]; then the old one stays.
pub const SET_MESSAGE: Write<Message> = Write::new(IOCTL_TYPE, 0);
/// Tells the message, which is empty at first.
pub const GET_MESSAGE: Read<Message> = Read::new(IOCTL_TYPE, 1);
/// Tells one byte of the message. `ERANGE` if it has none with that index.
pub const GET_BYTE: ReadWrite<NthByte> = ReadWrite::new(IOCTL_TYPE, 2);

/// The most bytes that a message has.
pub const MAX_LENGTH: usize = 252;

/// A message: any bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Message {
    /// How many bytes it has.
    pub length: u32,
    /// The bytes. Those after the last are not looked at when the message is set, and 0 when it is told.
    pub bytes: [u8; MAX_LENGTH],
}

impl Message {
    /// No message.
    pub const EMPTY: Self = Self { length: 0, bytes: [0; MAX_LENGTH] };

    /// A message of these bytes. Of one that is too long there is only the beginning, and its true length: whoever is given
    /// it refuses it.
    pub fn new(text: &[u8]) -> Self {
        let mut message = Self { length: u32::try_from(text.len()).unwrap_or(u32::MAX), ..Self::EMPTY };
        for (to, from) in message.bytes.iter_mut().zip(text) {
            *to = *from;
        }
        message
    }

    /// Its bytes; nothing if it claims to have more than there can be.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length as usize)
    }
}

/// The argument of [`GET_BYTE`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct NthByte {
    /// In: which byte, the first being 0.
    pub index: u32,
    /// Out: the byte.
    pub byte: u8,
    /// 0.
    pub reserved: [u8; 3],
}

// A size that changes here changes an ioctl's number: let it be on purpose.
const _: () = {
    assert!(size_of::<Message>() == 256);
    assert!(size_of::<NthByte>() == 8);
};

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn the_numbers_are_an_abi() {
        assert_eq!(SET_MESSAGE.number().raw(), 0x4100_bc00);
        assert_eq!(GET_MESSAGE.number().raw(), 0x8100_bc01);
        assert_eq!(GET_BYTE.number().raw(), 0xc008_bc02);
    }

    #[test]
    fn a_message_is_what_it_was_made_of_or_says_that_it_is_too_long() {
        assert_eq!(Message::EMPTY.get(), Some(&b""[..]));
        assert_eq!(Message::new(b"hello").get(), Some(&b"hello"[..]));
        let longest = [b'x'; MAX_LENGTH];
        assert_eq!(Message::new(&longest).get(), Some(&longest[..]));
        let longer = Message::new(&[b'x'; MAX_LENGTH + 1]);
        assert_eq!((longer.length as usize, longer.get()), (MAX_LENGTH + 1, None));
    }
}
