// SPDX-License-Identifier: GPL-2.0

//! Short texts that a user writes to a file.

use kernel::{
    prelude::*,
    str::{parse_int::ParseInt, BStr},
    uaccess::UserSliceReader,
};

/// Copies all that was written into `buffer`, and gives it without blanks and line ends around it.
///
/// # Errors
///
/// `EINVAL` if it does not fit, `EFAULT` if it cannot be read.
pub fn read<'a>(from: &mut UserSliceReader, buffer: &'a mut [u8]) -> Result<&'a BStr> {
    let len = from.len();
    let text = buffer.get_mut(..len).ok_or(EINVAL)?;
    from.read_slice(text)?;
    Ok(BStr::from_bytes(text.trim_ascii()))
}

/// As [`read()`], for one number, in the notations that the kernel takes for parameters.
///
/// # Errors
///
/// `EINVAL` also if it is not a number, `ERANGE` or `EINVAL` if it is too large for its type.
pub fn read_number<T: ParseInt>(from: &mut UserSliceReader) -> Result<T> {
    // More than enough for 64 bits in any notation but a binary one with leading zeroes.
    let mut buffer = [0; 80];
    T::from_str(read(from, &mut buffer)?)
}
