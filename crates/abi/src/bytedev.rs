// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! `bytedev`, a device that repeats a byte for ever: its names and its ioctls.

use crate::command::{Plain, Read, Write};

/// The module's name, the device's, and that of its major in `/proc/devices`.
pub const NAME: &str = "bytedev";
/// The device's path.
pub const PATH: &str = "/dev/bytedev";

/// The `type` of all ioctls here; `Documentation/userspace-api/ioctl/ioctl-number.rst` has it free.
pub const IOCTL_TYPE: u8 = 0xbd;

/// Sets the byte that is read from now on, and wakes whoever waits for one.
pub const SET_BYTE: Write<u8> = Write::new(IOCTL_TYPE, 0);
/// Tells the byte. `ENODATA` if there is none.
pub const GET_BYTE: Read<u8> = Read::new(IOCTL_TYPE, 1);
/// Takes the byte away, as it is at first: reads wait for one.
pub const CLEAR_BYTE: Plain = Plain::new(IOCTL_TYPE, 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_an_abi() {
        assert_eq!(SET_BYTE.number().raw(), 0x4001_bd00);
        assert_eq!(GET_BYTE.number().raw(), 0x8001_bd01);
        assert_eq!(CLEAR_BYTE.number().raw(), 0xbd02);
    }
}
