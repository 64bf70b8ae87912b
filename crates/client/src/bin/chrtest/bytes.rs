// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading from `bytedev`, and what it must refuse.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use blockyard_abi::bytedev::{CLEAR_BYTE, GET_BYTE, IOCTL_TYPE, SET_BYTE};
use blockyard_abi::ioctl::Ioctl;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::outcome;
use crate::place::{Pages, Place};

/// Makes each ioctl in each wrong way.
pub(crate) fn refusals(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    let mut pages = Pages::new()?;
    let mut call = |what: &str, number: Ioctl, place: Place| {
        println!("{what}: {}", outcome(pages.ioctl(&file, number, place, b"A")));
    };
    let (set, get, clear) = (SET_BYTE.number(), GET_BYTE.number(), CLEAR_BYTE.number());
    call("get without a byte", get, Place::Good);
    call("unknown number", Ioctl::none(IOCTL_TYPE, 99), Place::Good);
    call("other size", Ioctl::write::<u32>(IOCTL_TYPE, 0), Place::Good);
    call("set at null", set, Place::Null);
    call("set", set, Place::Good);
    call("get at null", get, Place::Null);
    call("get into read-only", get, Place::ReadOnly);
    call("clear", clear, Place::Null);
    println!(
        "seek: {}",
        outcome(rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(1)).map(drop).map_err(Into::into))
    );
    println!("read at a position: {}", outcome(file.read_at(&mut [0], 1).map(drop)));
    Ok(())
}

/// Reads once; tells how many bytes there were, and which.
pub(crate) fn read(device: &Path, size: usize, nonblock: bool) -> io::Result<()> {
    let flags = if nonblock { libc::O_NONBLOCK } else { 0 };
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(device)?;
    // A byte that no test sets, so that what was not written shows.
    let mut bytes = vec![0xee; size];
    match file.read(&mut bytes) {
        Ok(count) => println!("{count} bytes: {}", contents(&bytes[..count])),
        Err(error) => println!("{}", outcome(Err(error))),
    }
    Ok(())
}

/// What is in these bytes, if it is one and the same.
pub(crate) fn contents(bytes: &[u8]) -> String {
    match bytes.first() {
        None => "none".into(),
        Some(first) if bytes.iter().all(|byte| byte == first) => format!("{first:#04x}"),
        Some(_) => "mixed".into(),
    }
}

/// Tells what can be done at once.
pub(crate) fn poll(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    println!("{}", events(&file, Some(Timespec { tv_sec: 0, tv_nsec: 0 }))?);
    Ok(())
}

/// Waits until something can be done, or for so long.
pub(crate) fn events(file: &File, timeout: Option<Timespec>) -> io::Result<String> {
    let mut polled = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN | PollFlags::OUT)];
    rustix::event::poll(&mut polled, timeout.as_ref())?;
    Ok(match polled[0].revents() {
        events if events.is_empty() => "nothing".into(),
        events => format!("{events:?}"),
    })
}
