// SPDX-License-Identifier: GPL-2.0

//! The kernel log, in the form that the device mapper's own lines have.

use kernel::{
    fmt,
    print::{call_printk, format_strings},
};

const PREFIX: &[u8] = b"device-mapper\0";

/// Logs an error.
#[cold]
pub(super) fn err(line: fmt::Arguments<'_>) {
    // SAFETY: The format is one of those, and the prefix ends with a zero.
    unsafe { call_printk(&format_strings::ERR, PREFIX, line) };
}

/// Logs at the level for debugging: in `dmesg`, and by default not on the console.
#[cold]
pub(super) fn debug(line: fmt::Arguments<'_>) {
    // SAFETY: As above.
    unsafe { call_printk(&format_strings::DEBUG, PREFIX, line) };
}
