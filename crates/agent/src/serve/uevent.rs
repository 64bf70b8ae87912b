// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for devices by the kernel's own announcements (uevents).

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::error::{Context, Error};

/// The kernel's own announcements, as against udev's.
const KERNEL_GROUP: u32 = 1;

/// Waits until something holds of the devices, until the deadline; whether it came to that. It is looked at when the kernel
/// has announced something.
pub fn until(deadline: Instant, mut holds: impl FnMut() -> Result<bool, Error>) -> Result<bool, Error> {
    if holds()? {
        return Ok(true);
    }
    let what = || "cannot listen to the kernel's announcements of devices".to_owned();
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(KOBJECT_UEVENT),
    )
    .context(what)?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP)).context(what)?;
    // The look comes after the listening has begun, so no announcement falls in between.
    while !holds()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        wait(&socket, left).context(what)?;
    }
    Ok(true)
}

fn wait(socket: &impl AsFd, left: Duration) -> rustix::io::Result<()> {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    // What is waited for appears in sysfs with the announcement; a second is for an announcement that was lost.
    let left = left.min(Duration::from_secs(1));
    let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(e) => return Err(e),
    }
    let mut buffer = [0; 4096];
    // Only that something happened counts; what, sysfs tells. Too many to hold is something, too.
    while recv(socket, &mut buffer, RecvFlags::empty()).is_ok() {}
    Ok(())
}
