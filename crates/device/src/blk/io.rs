// SPDX-License-Identifier: MIT OR Apache-2.0
//! What carries requests out.

pub mod ram;

use crate::chain::Writable;

/// The serial, filled up with zeroes (5.2.6.1: "a string of up to 20 bytes, NUL-terminated if shorter").
fn write_id(mut data: Writable<'_>, serial: &str) {
    let mut id = [0; super::ID_BYTES];
    id[..serial.len()].copy_from_slice(serial.as_bytes());
    data.write(&id);
}
