// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks by their serial: found in sysfs, awaited by the kernel's own announcements.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::error::{Context, Error};

const BLOCK: &str = "/sys/block";

/// The kernel's own announcements, as against udev's.
const KERNEL_GROUP: u32 = 1;

/// The device node of the disk with this serial.
pub fn find(serial: &str) -> Result<Option<PathBuf>, Error> {
    for entry in std::fs::read_dir(BLOCK).context(|| format!("cannot list {BLOCK}"))?.flatten() {
        let said = std::fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
        if said.trim_end() == serial {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

/// Waits until the disk is there, or gone, until the deadline; whether it came to that.
pub fn await_disk(serial: &str, present: bool, deadline: Instant) -> Result<bool, Error> {
    if find(serial)?.is_some() == present {
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
    while find(serial)?.is_some() != present {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        wait(&socket, left).context(what)?;
    }
    Ok(true)
}

fn wait(socket: &impl std::os::fd::AsFd, left: Duration) -> rustix::io::Result<()> {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    // The serial appears in sysfs with the announcement; a second is for an announcement that was lost.
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
