// SPDX-License-Identifier: MIT OR Apache-2.0
//! udev, without systemd: links in /dev/disk, permissions, and rules that a test may add.

use std::process::Command;

use crate::error::{Context, Error};
use crate::{console, reaper};

const UDEVD: &str = "/usr/lib/systemd/systemd-udevd";

/// Starts udevd and waits until it listens: from then on `udevadm settle` means what it says. The devices
/// that were there before it are announced to it without waiting for the outcome. A root without udev does
/// without.
pub fn start_udev() -> Result<(), Error> {
    if !std::path::Path::new(UDEVD).exists() {
        return Ok(());
    }
    // It goes to the background by itself as soon as it listens.
    let status =
        reaper::run(Command::new(UDEVD).arg("--daemon")).context(|| format!("cannot run {UDEVD}"))?;
    if status != 0 {
        return Err(Error::other(format!("{UDEVD} did not start"), format!("exit code {status}")));
    }
    std::thread::Builder::new()
        .name("coldplug".into())
        .spawn(announce)
        .context(|| "cannot start a thread".into())
        .map(drop)
}

fn announce() {
    let trigger =
        reaper::run(Command::new("/usr/bin/udevadm").args(["trigger", "--action=add", "--type=all"]));
    match trigger {
        Ok(0) => {}
        Ok(code) => console::say(&format!("`udevadm trigger` ended with exit code {code}")),
        Err(e) => console::say(&format!("cannot run `udevadm trigger`: {e}")),
    }
}
