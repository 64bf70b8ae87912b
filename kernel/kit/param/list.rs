// SPDX-License-Identifier: GPL-2.0

//! Lists of numbers as parameters.

use super::{private::Sealed, Number, Value, Wrong};
use core::ops::Deref;
use kernel::{
    fmt::{self, Write},
    prelude::*,
    str::{BStr, Formatter},
};

/// Up to `N` numbers, written with commas between them. Stands for the slice of those that were
/// given; its length is what C's `module_param_array()` counts.
///
/// # Invariants
///
/// `len` is at most `N`.
#[derive(Clone, Copy)]
pub struct List<T: Number, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Number, const N: usize> List<T, N> {
    /// sysfs shows a value in one page, so there must be room for it: a number of 64 bits and its
    /// comma take 21 bytes.
    const FITS: () = assert!(N <= 128, "a list parameter has at most 128 numbers");

    /// A constant list, for a default.
    pub const fn new(items: &[T]) -> Self {
        build_assert!(items.len() <= N, "the list is longer than its type allows");
        // INVARIANT: The length grows to one that was checked.
        let mut list = Self::EMPTY;
        while list.len < items.len() {
            list.items[list.len] = items[list.len];
            list.len += 1;
        }
        list
    }

    /// No numbers.
    pub const EMPTY: Self = {
        let () = Self::FITS;
        Self {
            items: [T::ZERO; N],
            len: 0,
        }
    };
}

impl<T: Number, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: By the type's invariants.
        unsafe { self.items.get_unchecked(..self.len) }
    }
}

impl<T: Number, const N: usize> Sealed for List<T, N> {}

impl<T: Number, const N: usize> Value for List<T, N> {
    const TYPE: [&'static str; 2] = ["array of ", T::NAME];

    fn parse(text: &BStr) -> Result<Self, Wrong> {
        let mut list = Self::EMPTY;
        for item in text.split(|byte| *byte == b',') {
            let slot = list.items.get_mut(list.len);
            let slot = slot.ok_or(Wrong::TooMany { max: N })?;
            *slot = T::parse(item.as_ref()).map_err(|_| Wrong::Item {
                position: list.len + 1,
                min: T::MIN,
                max: T::MAX,
            })?;
            // INVARIANT: There was a slot at the old length.
            list.len += 1;
        }
        Ok(list)
    }

    fn show(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                out.write_char(',')?;
            }
            item.show(out)?;
        }
        Ok(())
    }
}
