// SPDX-License-Identifier: MIT OR Apache-2.0
//! udev, without systemd: links in /dev/disk, permissions, and rules that a test may add.

use std::path::Path;
use std::process::Command;

use crate::error::{Context, Error};
use crate::reaper;

const UDEVD: &str = "/usr/lib/systemd/systemd-udevd";

/// Starts udevd, waits until it listens, and announces to it the devices that were there before it, without
/// waiting for the outcome: whoever needs it runs `udevadm settle`, which means what it says from the first
/// command on. A root without udev does without.
pub fn start_udev() -> Result<(), Error> {
    if !Path::new(UDEVD).exists() {
        return Ok(());
    }
    // It goes to the background by itself as soon as it listens.
    let status =
        reaper::run(Command::new(UDEVD).arg("--daemon")).context(|| format!("cannot run {UDEVD}"))?;
    if status != 0 {
        return Err(Error::other(format!("{UDEVD} did not start"), format!("exit code {status}")));
    }
    ANNOUNCED.iter().try_for_each(|class| announce(class))
}

/// Only the classes that have rules of interest in a guest: each event costs a process, and the first commands
/// compete with them.
const ANNOUNCED: [&str; 3] = ["block", "net", "misc"];

/// What `udevadm trigger` does, without the cost of a program: the kernel announces each device once more.
fn announce(class: &str) -> Result<(), Error> {
    let folder = Path::new("/sys/class").join(class);
    let Ok(devices) = std::fs::read_dir(&folder) else { return Ok(()) };
    for device in devices.flatten() {
        let uevent = device.path().join("uevent");
        std::fs::write(&uevent, "add").context(|| format!("cannot write {}", uevent.display()))?;
    }
    Ok(())
}
