// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! The number of an ioctl: built from its parts at compile time, and taken apart again for a log line.
//!
//! The kernel's `kernel::ioctl` and user space's crates each have this; a number that both sides must agree on is
//! better built once. Layout: `include/uapi/asm-generic/ioctl.h`, that is 8 bits of number, 8 of type, 14 of
//! size, 2 of direction (not so on alpha, mips, powerpc and sparc, which Blockyard does not support).

use core::fmt;
use core::mem::size_of;

const NR_BITS: u32 = 8;
const TYPE_BITS: u32 = 8;
const SIZE_BITS: u32 = 14;

const TYPE_SHIFT: u32 = NR_BITS;
const SIZE_SHIFT: u32 = TYPE_SHIFT + TYPE_BITS;
const DIR_SHIFT: u32 = SIZE_SHIFT + SIZE_BITS;

const DIR_WRITE: u32 = 1;
const DIR_READ: u32 = 2;

/// An ioctl number.
///
/// Directions are seen from user space, as in C: "write" means that the kernel reads the argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ioctl(u32);

impl Ioctl {
    /// The counterpart of C's `_IO`: no argument.
    pub const fn none(ty: u8, nr: u8) -> Self {
        Self::build(0, ty, nr, 0)
    }

    /// The counterpart of C's `_IOR`: the kernel fills in a `T`.
    pub const fn read<T>(ty: u8, nr: u8) -> Self {
        Self::build(DIR_READ, ty, nr, size_of::<T>())
    }

    /// The counterpart of C's `_IOW`: the kernel takes a `T`.
    pub const fn write<T>(ty: u8, nr: u8) -> Self {
        Self::build(DIR_WRITE, ty, nr, size_of::<T>())
    }

    /// The counterpart of C's `_IOWR`: the kernel takes a `T`, and fills in its answer.
    pub const fn read_write<T>(ty: u8, nr: u8) -> Self {
        Self::build(DIR_READ | DIR_WRITE, ty, nr, size_of::<T>())
    }

    const fn build(dir: u32, ty: u8, nr: u8, size: usize) -> Self {
        assert!(size < 1 << SIZE_BITS, "an ioctl's argument is at most 16383 bytes");
        Self((dir << DIR_SHIFT) | ((size as u32) << SIZE_SHIFT) | ((ty as u32) << TYPE_SHIFT) | nr as u32)
    }

    /// Takes a number as it came in a system call.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The number as the system call wants it.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The direction: `none`, `write`, `read` or `read/write`, seen from user space.
    pub const fn direction(self) -> &'static str {
        match self.0 >> DIR_SHIFT {
            0 => "none",
            DIR_WRITE => "write",
            DIR_READ => "read",
            _ => "read/write",
        }
    }

    /// Bytes of the argument that the number announces.
    pub const fn size(self) -> usize {
        ((self.0 >> SIZE_SHIFT) & ((1 << SIZE_BITS) - 1)) as usize
    }

    /// The type, by which drivers tell their ioctls from those of others.
    pub const fn ty(self) -> u8 {
        (self.0 >> TYPE_SHIFT) as u8
    }

    /// The number within the type.
    pub const fn nr(self) -> u8 {
        self.0 as u8
    }
}

/// Decoded, as `direction=read/write size=16 type=0xbb number=3`.
impl fmt::Display for Ioctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, size, ty, nr) = (self.direction(), self.size(), self.ty(), self.nr());
        write!(f, "direction={dir} size={size} type={ty:#04x} number={nr}")
    }
}

impl fmt::Debug for Ioctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ioctl({:#010x}: {self})", self.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    // The expected values are what C's macros give on x86-64, from the kernel's own uapi headers.
    #[test]
    fn numbers_are_those_of_the_kernels_headers() {
        assert_eq!(Ioctl::none(0x12, 96).raw(), 0x1260, "BLKGETSIZE");
        assert_eq!(Ioctl::read::<u64>(0x12, 114).raw(), 0x8008_1272, "BLKGETSIZE64");
        assert_eq!(Ioctl::write::<i32>(b'T', 0x31).raw(), 0x4004_5431, "TIOCSPTLCK");
        assert_eq!(Ioctl::read_write::<[u64; 3]>(b'X', 121).raw(), 0xc018_5879, "FITRIM");
    }

    #[test]
    fn a_number_comes_apart_as_it_was_built() {
        let number = Ioctl::from_raw(Ioctl::read_write::<[u8; 16]>(0xbb, 3).raw());
        assert_eq!(
            (number.direction(), number.size(), number.ty(), number.nr()),
            ("read/write", 16, 0xbb, 3)
        );
        assert_eq!(number.to_string(), "direction=read/write size=16 type=0xbb number=3");
    }

    #[test]
    fn the_largest_argument_leaves_the_direction_alone() {
        let number = Ioctl::write::<[u8; 16383]>(0xff, 0xff);
        assert_eq!(number.raw(), 0x7fff_ffff);
        assert_eq!((number.direction(), number.size()), ("write", 16383));
    }

    #[test]
    #[should_panic(expected = "16383")]
    fn a_larger_argument_is_refused() {
        Ioctl::write::<[u8; 16384]>(0, 0);
    }
}
