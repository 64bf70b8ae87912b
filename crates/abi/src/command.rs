// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! An ioctl as a typed value: which number it has, which way its argument goes, and what the argument is, in one place.
//!
//! A number alone lets the two sides disagree: one takes a struct for another, or copies it the wrong way. Here both
//! are built from the same constant, whose type says all of it:
//!
//! ```
//! use blockyard_abi::command::{Command, Read, Write};
//!
//! /// Sets the level.
//! const SET_LEVEL: Write<u32> = Write::new(0xbc, 0);
//! /// Tells the level.
//! const GET_LEVEL: Read<u32> = Read::new(0xbc, 1);
//!
//! assert_eq!(GET_LEVEL.number().raw(), 0x8004_bc01);
//! ```
//!
//! The driver's side is `kit::ioctl`, which copies what the type says and hands it to a closure; the program's side is in
//! `blockyard_client`. Directions are seen from user space, as everywhere with ioctls: [`Write`] is what the
//! program gives, [`Read`] what it gets.

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::ioctl::Ioctl;

/// What may cross the boundary: no byte of it is padding, and any bytes are a value of it.
pub trait Crossing: FromBytes + IntoBytes + Immutable {}
impl<T: FromBytes + IntoBytes + Immutable> Crossing for T {}

/// An ioctl whose direction and argument are known to the compiler.
pub trait Command: Copy {
    /// What the program gives; `()` for nothing.
    type Input: Crossing;
    /// What the program gets; `()` for nothing. It goes where the input came from.
    type Output: Crossing;

    /// The number, as the system call has it.
    fn number(self) -> Ioctl;
}

/// The counterpart of C's `_IO`: no argument.
#[derive(Debug, Clone, Copy)]
pub struct Plain(Ioctl);

impl Plain {
    /// The command `nr` of the type `ty`.
    pub const fn new(ty: u8, nr: u8) -> Self {
        Self(Ioctl::none(ty, nr))
    }

    /// [`Command::number`], also at compile time.
    pub const fn number(self) -> Ioctl {
        self.0
    }
}

impl Command for Plain {
    type Input = ();
    type Output = ();

    fn number(self) -> Ioctl {
        self.0
    }
}

macro_rules! with_argument {
    ($(#[$doc:meta])* $name:ident, $build:ident, $input:ty, $output:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T>(Ioctl, PhantomData<fn(T) -> T>);

        impl<T> $name<T> {
            /// The command `nr` of the type `ty`.
            pub const fn new(ty: u8, nr: u8) -> Self {
                Self(Ioctl::$build::<T>(ty, nr), PhantomData)
            }

            /// [`Command::number`], also at compile time.
            pub const fn number(self) -> Ioctl {
                self.0
            }
        }

        // Not derived: a derive would ask that `T` be `Copy`, too.
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<T> Copy for $name<T> {}

        impl<T: Crossing> Command for $name<T> {
            type Input = $input;
            type Output = $output;

            fn number(self) -> Ioctl {
                self.0
            }
        }
    };
}

with_argument! {
    /// The counterpart of C's `_IOR`: the program gets a `T`.
    Read, read, (), T
}
with_argument! {
    /// The counterpart of C's `_IOW`: the program gives a `T`.
    Write, write, T, ()
}
with_argument! {
    /// The counterpart of C's `_IOWR`: the program gives a `T`, and gets another in its place.
    ReadWrite, read_write, T, T
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn sizes<C: Command>(_: C) -> (usize, usize) {
        (size_of::<C::Input>(), size_of::<C::Output>())
    }

    #[test]
    fn a_command_has_the_number_of_the_macro_in_c() {
        assert_eq!(Plain::new(0x12, 96).number(), Ioctl::none(0x12, 96));
        assert_eq!(Read::<u64>::new(0x12, 114).number(), Ioctl::read::<u64>(0x12, 114));
        assert_eq!(Write::<i32>::new(b'T', 0x31).number(), Ioctl::write::<i32>(b'T', 0x31));
        let fitrim = ReadWrite::<[u64; 3]>::new(b'X', 121);
        assert_eq!(fitrim.number(), Ioctl::read_write::<[u64; 3]>(b'X', 121));
    }

    #[test]
    fn the_type_says_what_is_copied_which_way() {
        assert_eq!(sizes(Plain::new(0, 0)), (0, 0));
        assert_eq!(sizes(Read::<u16>::new(0, 0)), (0, 2));
        assert_eq!(sizes(Write::<u16>::new(0, 0)), (2, 0));
        assert_eq!(sizes(ReadWrite::<u16>::new(0, 0)), (2, 2));
    }
}
