// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ending a guest from outside: QEMU gets the signal, its owner sees it end and cleans up.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Info;
use crate::error::{Context, Error, Kind, Result};
use crate::{files, interrupt};

/// The file that tells the owner why its QEMU ended.
pub const MARKER: &str = "stopped";

/// How long the owner may take to clean up.
const LIMIT: Duration = Duration::from_secs(15);

/// Tells a guest whose owner lives to end. The registry's lock is held: a marker in a folder that is being removed would
/// keep it from going.
pub fn ask(info: &Info, dir: &Path) -> Result<()> {
    files::write(&dir.join(MARKER), "")?;
    signal(info, dir, Signal::TERM)
}

/// Waits until its owner has cleaned up after it.
pub fn await_end(info: &Info, dir: &Path) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while dir.exists() {
        interrupt::check()?;
        if Instant::now() > deadline {
            let message = format!("{} was told to end and still runs after {} s", info.name, LIMIT.as_secs());
            return Err(Error::new(Kind::Timeout, message).with_help(format!(
                "its owner is process {}, its QEMU is process {}",
                info.owner_pid, info.qemu_pid
            )));
        }
        // Another process removes the folder; there is nothing to wait on but its absence.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Ends the QEMU of a guest whose owner is gone, should it have survived.
pub fn kill(info: &Info, dir: &Path) -> Result<()> {
    signal(info, dir, Signal::KILL)
}

/// Signals the guest's QEMU; a process that has taken over its number is left alone.
fn signal(info: &Info, dir: &Path, signal: Signal) -> Result<()> {
    let Some(pid) = i32::try_from(info.qemu_pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    // The pidfd first, the look second: what is looked at is then what is signalled.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    let command = std::fs::read(format!("/proc/{}/cmdline", info.qemu_pid)).unwrap_or_default();
    if !String::from_utf8_lossy(&command).contains(&*dir.to_string_lossy()) {
        return Ok(());
    }
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e).context(Kind::Lab, || format!("cannot end QEMU (process {})", info.qemu_pid)),
    }
}
