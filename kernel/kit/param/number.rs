// SPDX-License-Identifier: GPL-2.0

//! Whole numbers as parameters.

use super::{private::Sealed, Value, Wrong};
use kernel::{
    fmt::{self, Write},
    prelude::*,
    str::{parse_int::ParseInt, BStr, Formatter},
};

/// The integer types. Decimal, or with `0x`, `0o` or `0b`; with a leading zero, octal, as in C.
pub trait Number: Value {
    /// What [`List`](super::List) fills the rest of its memory with.
    const ZERO: Self;
    /// The type's name.
    const NAME: &'static str;
    /// The smallest number.
    const MIN: i64;
    /// The largest number.
    const MAX: u64;
}

macro_rules! impl_number {
    ($($type:ty),*) => {
        $(
            impl Sealed for $type {}

            impl Number for $type {
                const ZERO: Self = 0;
                const NAME: &'static str = stringify!($type);
                const MIN: i64 = <$type>::MIN as i64;
                const MAX: u64 = <$type>::MAX as u64;
            }

            impl Value for $type {
                const TYPE: [&'static str; 2] = ["", Self::NAME];

                fn parse(text: &BStr) -> Result<Self, Wrong> {
                    let wrong = Wrong::Number {
                        min: <Self as Number>::MIN,
                        max: <Self as Number>::MAX,
                    };
                    <$type as ParseInt>::from_str(text).map_err(|_| wrong)
                }

                fn show(&self, out: &mut Formatter<'_>) -> fmt::Result {
                    write!(out, "{self}")
                }
            }
        )*
    };
}

impl_number!(i8, u8, i16, u16, i32, u32, i64, u64, isize, usize);
