// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of the machine.
//!
//! A reset, not a power-off: QEMU runs with `-no-reboot` and ends at a reset, at once and whatever state the
//! kernel's devices are in. What a test left mounted on a disk of its own is unmounted first, so that an
//! image file of the user's is whole.

use std::sync::mpsc;
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::system::{RebootCommand, reboot};

/// A driver under test may hang a sync; the end of the machine does not wait for it longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends all processes, unmounts and syncs within [`PATIENCE`], and resets.
pub fn reset() -> ! {
    let (done, finished) = mpsc::channel();
    let tidy = std::thread::Builder::new().name("tidy".into()).spawn(move || {
        end_processes();
        unmount_disks();
        rustix::fs::sync();
        // Nobody waits any more if it took too long.
        let _ = done.send(());
    });
    if tidy.is_ok() {
        // Too late is as good as done: the machine ends now.
        let _ = finished.recv_timeout(PATIENCE);
    }
    reset_now()
}

/// Resets the machine without further ado.
pub fn reset_now() -> ! {
    // The magic key first: it asks no driver. A kernel without it restarts in the orderly way.
    let _ = std::fs::write("/proc/sysrq-trigger", "b");
    let _ = reboot(RebootCommand::Restart);
    // Neither worked. PID 1 that exits is a panic, which ends the machine too.
    std::process::abort()
}

/// All but PID 1 itself, by the magic key that does just this. What has a file open on a disk would keep
/// it from being unmounted.
fn end_processes() {
    // A kernel without the key unmounts what it can.
    let _ = std::fs::write("/proc/sysrq-trigger", "i");
}

/// Everything that stands on a block device, latest first; the root's own disk is read-only.
fn unmount_disks() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points =
        mounts.lines().filter(|line| line.starts_with("/dev/")).filter_map(|line| line.split(' ').nth(1));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        // What stays busy gets the sync.
        let _ = unmount(unescape(point), UnmountFlags::empty());
    }
}

/// Spaces and the like are written in octal there.
fn unescape(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}
