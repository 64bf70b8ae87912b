// SPDX-License-Identifier: GPL-2.0

//! Texts as parameters.

use super::{private::Sealed, Value, Wrong};
use core::ops::Deref;
use kernel::{
    fmt::{self, Write},
    prelude::*,
    str::{BStr, Formatter},
};

/// A text of at most `N` bytes, which it holds itself: nothing is allocated, and nothing is left to
/// be freed with the module. Stands for its `str`.
///
/// # Invariants
///
/// The first `len` bytes of `bytes` are UTF-8, and `len` is at most `N`.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// sysfs shows a value in one page, so there must be room for it.
    const FITS: () = assert!(N <= 1024, "a text parameter has at most 1024 bytes");

    /// A constant text, for a default.
    pub const fn new(text: &str) -> Self {
        build_assert!(text.len() <= N, "the text is longer than its type allows");
        // INVARIANT: The length was checked, and all bytes of a `str` are copied.
        Self::copy_of(text)
    }

    const fn copy_of(text: &str) -> Self {
        let () = Self::FITS;
        let (from, mut bytes, mut at) = (text.as_bytes(), [0; N], 0);
        while at < from.len() {
            bytes[at] = from[at];
            at += 1;
        }
        Self { bytes, len: at }
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        // SAFETY: By the type's invariants.
        unsafe { core::str::from_utf8_unchecked(self.bytes.get_unchecked(..self.len)) }
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl<const N: usize> Sealed for Text<N> {}

impl<const N: usize> Value for Text<N> {
    const TYPE: [&'static str; 2] = ["", "string"];

    fn parse(text: &BStr) -> Result<Self, Wrong> {
        if text.len() > N {
            return Err(Wrong::TooLong { max: N });
        }
        let text = core::str::from_utf8(text).map_err(|_| Wrong::Encoding)?;
        // INVARIANT: As in `new()`.
        Ok(Self::copy_of(text))
    }

    fn show(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self)
    }
}
