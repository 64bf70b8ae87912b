// SPDX-License-Identifier: MIT OR Apache-2.0
//! udev, without systemd: links in /dev/disk, permissions, and rules that a test may add.
//!
//! Starting udevd takes a fifth of the boot under emulation, so nothing waits for it: its two sockets are made
//! here and handed over as systemd would (`sd_listen_fds(3)`). From then on what the kernel announces is kept
//! for it, and a `udevadm settle` waits on its control socket until it has come up and caught up.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::Mode;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, sockopt,
};

use crate::error::{Context, Error};
use crate::{console, reaper};

const UDEVD: &str = "/usr/lib/systemd/systemd-udevd";
const CONTROL: &str = "/run/udev/control";

/// The kernel's own announcements.
const KERNEL_GROUP: u32 = 1;
/// Bytes of announcements that may pile up; what systemd's unit for udevd gives it.
const BACKLOG: usize = 128 << 20;

/// Puts the sockets, which come as standard input and output, where udevd looks for them: the shell knows its
/// own process number, which must be in the environment.
const HAND_OVER: &str =
    "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec /usr/lib/systemd/systemd-udevd";

/// Starts udevd and announces to it the devices that are there. Whoever needs the outcome runs `udevadm settle`,
/// which means what it says from the first command on. A root without udev does without.
pub fn start_udev() -> Result<(), Error> {
    if !Path::new(UDEVD).exists() {
        return Ok(());
    }
    let control = control_socket().context(|| format!("cannot make {CONTROL}"))?;
    let kernel = kernel_socket().context(|| "cannot listen to the kernel's announcements".into())?;
    ANNOUNCED.iter().try_for_each(|class| announce(&Path::new("/sys/class").join(class), |_| true))?;
    announce(Path::new(DRIVERLESS), |device| !device.join("driver").exists())?;
    let start = std::thread::Builder::new().name("udevd".into()).spawn(move || start(control, kernel));
    start.context(|| "cannot start a thread".into()).map(drop)
}

/// A guest whose udevd cannot be run is of use still, but not in silence.
fn start(control: OwnedFd, kernel: OwnedFd) {
    let mut udevd = Command::new("/bin/sh");
    udevd.args(["-c", HAND_OVER]).stdin(Stdio::from(control)).stdout(Stdio::from(kernel));
    udevd.envs([("SYSTEMD_LOG_TARGET", "kmsg"), ("SYSTEMD_LOG_LEVEL", "notice")]).stderr(Stdio::null());
    match reaper::run(&mut udevd) {
        Ok(code) => console::say(&format!("udevd has ended with exit code {code}")),
        Err(e) => console::say(&format!("cannot run {UDEVD}: {e}")),
    }
}

fn control_socket() -> std::io::Result<OwnedFd> {
    std::fs::create_dir_all("/run/udev")?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    sockopt::set_socket_passcred(&socket, true)?;
    bind(&socket, &SocketAddrUnix::new(CONTROL)?)?;
    rustix::fs::chmod(CONTROL, Mode::RUSR | Mode::WUSR)?;
    listen(&socket, 128)?;
    Ok(socket)
}

fn kernel_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
    sockopt::set_socket_passcred(&socket, true)?;
    sockopt::set_socket_recv_buffer_size_force(&socket, BACKLOG)?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// Only the classes that have rules of interest in a guest: each event costs a process, and the first commands
/// compete with them.
const ANNOUNCED: [&str; 3] = ["block", "net", "misc"];

/// Of these, those that nobody drives are announced as well: there may be a module that says that it is for them.
const DRIVERLESS: &str = "/sys/bus/virtio/devices";

/// What `udevadm trigger` does, without the cost of a program: the kernel announces each device once more.
fn announce(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<(), Error> {
    let Ok(devices) = std::fs::read_dir(folder) else { return Ok(()) };
    for device in devices.flatten().map(|device| device.path()).filter(|device| wanted(device)) {
        let uevent = device.join("uevent");
        std::fs::write(&uevent, "add").context(|| format!("cannot write {}", uevent.display()))?;
    }
    Ok(())
}
