// SPDX-License-Identifier: MIT OR Apache-2.0
//! The message of `chardev_ioctl`: what it must refuse, and whether it ever is half of one and half of another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use blockyard_abi::chardev_ioctl::{GET_BYTE, GET_MESSAGE, IOCTL_TYPE, Message, NthByte, SET_MESSAGE};
use blockyard_abi::ioctl::Ioctl;
use blockyard_client::chrdev::MessageDevice;
use zerocopy::IntoBytes;

use crate::outcome;
use crate::place::{Pages, Place};

/// Makes each ioctl in each wrong way.
pub(crate) fn refusals(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    let mut pages = Pages::new()?;
    let mut call = |what: &str, number: Ioctl, place: Place, argument: &[u8]| {
        println!("{what}: {}", outcome(pages.ioctl(&file, number, place, argument)));
    };
    let (set, get, byte) = (SET_MESSAGE.number(), GET_MESSAGE.number(), GET_BYTE.number());
    let message = Message::new(b"good");
    let nth = |index, last| NthByte { index, byte: 0, reserved: [0, 0, last] };
    use Place::*;

    call("unknown number", Ioctl::write::<Message>(IOCTL_TYPE, 99), Good, message.as_bytes());
    call("other type", Ioctl::write::<Message>(IOCTL_TYPE + 7, 0), Good, message.as_bytes());
    call("other size", Ioctl::write::<u64>(IOCTL_TYPE, 0), Good, message.as_bytes());
    call("other direction", Ioctl::read::<Message>(IOCTL_TYPE, 0), Good, message.as_bytes());
    for (place, at) in [(Null, "null"), (Kernel, "kernel"), (Across, "across")] {
        call(&format!("set at {at}"), set, place, message.as_bytes());
        call(&format!("get at {at}"), get, place, message.as_bytes());
        call(&format!("byte at {at}"), byte, place, nth(0, 0).as_bytes());
    }
    call("get into read-only", get, ReadOnly, message.as_bytes());
    for (length, how) in [(253, "by one"), (u32::MAX, "by far")] {
        call(&format!("too long {how}"), set, Good, Message { length, ..message }.as_bytes());
    }
    call("set", set, Good, message.as_bytes());
    call("last byte", byte, Good, nth(3, 0).as_bytes());
    call("byte after the last", byte, Good, nth(4, 0).as_bytes());
    call("byte far behind", byte, Good, nth(u32::MAX, 0).as_bytes());
    call("reserved field", byte, Good, nth(0, 1).as_bytes());
    Ok(())
}

/// Sets the same message for ever.
pub(crate) fn repeat(device: &Path, letter: char, length: usize) -> io::Result<()> {
    let device = MessageDevice::open(device).map_err(io::Error::other)?;
    let message = vec![letter as u8; length];
    loop {
        device.set(&message).map_err(io::Error::other)?;
    }
}

/// Reads the message until each of two was seen so often.
pub(crate) fn uniform(device: &Path, count: usize) -> io::Result<()> {
    let device = MessageDevice::open(device).map_err(io::Error::other)?;
    let mut seen = BTreeMap::<(u8, usize), usize>::new();
    while seen.len() < 2 || seen.values().any(|times| *times < count) {
        let message = device.get().map_err(io::Error::other)?;
        let Some(first) = message.first().copied() else { continue };
        if message.iter().any(|byte| *byte != first) {
            return Err(io::Error::other(format!("a mixed message: {}", message.escape_ascii())));
        }
        *seen.entry((first, message.len())).or_default() += 1;
        if seen.len() > 2 {
            return Err(io::Error::other(format!("messages of a wrong length: {:?}", seen.keys())));
        }
    }
    for ((byte, length), _) in seen {
        println!("{} x {length}", byte.escape_ascii());
    }
    Ok(())
}
