// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guests that go from one test to the next: booting one costs more than most tests do.
//!
//! A guest is handed on only if nothing tells that a test has been there. After each test what it left is cleared away:
//! modules are unloaded (which is part of what is tested), file systems unmounted, files removed. Then the kernel's log
//! is judged as at a guest's end, and what can be seen of the system must be what it was after the boot: modules,
//! processes, device numbers, disks, mounts, files. Any difference, a failed test, a panic: that guest ends, and the
//! next test boots its own.

use std::sync::{Mutex, Once, PoisonError};

use blockyard_lab::{Guest, MachineBuilder, Result};

/// Prints all that a test may leave behind. What udev does about the boot's devices may not be over when it first runs, so
/// its workers and the links that follow from the nodes are left out. A program takes longer to start under emulation than
/// all of this takes to read, so the shell does it by itself.
const STATE: &str = r#"
while read -r module _; do echo "$module"; done </proc/modules
while read -r line; do echo "$line"; done </proc/self/mounts
while read -r line; do case $line in *' hvc') ;; *) echo "$line" ;; esac; done </proc/devices
while read -r line; do echo "$line"; done </proc/misc
read -r levels </proc/sys/kernel/printk; echo "$levels"
for process in /proc/[0-9]*; do
    # Threads of the kernel have no command line. (The shell that becomes udevd names it in its own.)
    line=; read -r line 2>/dev/null <$process/cmdline
    case $line in ''|*udevd*|*udev-worker*) continue ;; esac
    [ $process = /proc/$$ ] || echo "$line"
done
for file in \
    /sys/block/* /sys/class/* /sys/bus/pci/devices/* /sys/kernel/* /sys/kernel/debug/* /sys/kernel/config/* \
    /* /etc/* /var/* /usr/local/* /usr/local/*/* /lib/modules/*/* /tmp/* /root/* /mnt/* /home/* /run/* \
    /dev/* /dev/mapper/* /dev/shm/*
do
    # What udev, a mount and the first console on virtio make when they have to.
    case $file in /dev/char|/dev/disk|/dev/block|/run/mount|/dev/hvc*) ;; *) echo "$file" ;; esac
done
"#;

/// Clears away what tests leave with good reason: what they loaded, mounted and wrote where anyone may write. Then udev is to
/// have seen the consequences.
const TIDY: &str = r#"
while read -r _ at kind _; do
    case $at:$kind in *:tmpfs) ;; /mnt*|/tmp/*|/root/*|/run/*) umount "$at" ;; esac
done </proc/self/mounts
[ "$(echo /dev/mapper/*)" = /dev/mapper/control ] || dmsetup remove_all --force
for file in /sys/block/loop*/loop/backing_file; do [ ! -e "$file" ] || { losetup -D; break; }; done
[ ! -e /run/udev/queue ] || udevadm settle --timeout=30
loaded=; while read -r module _; do loaded="$loaded $module"; done </proc/modules
# The newest comes first, so that whoever uses another goes before it.
[ -z "$loaded" ] || modprobe -r $loaded
for file in /tmp/* /root/* /mnt/*; do [ ! -e "$file" ] || { rm -rf /tmp/* /root/* /mnt/*; break; }; done
udevadm settle --timeout=30
"#;

/// Machines that are alike: their guests can stand in for each other.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    name: &'static str,
    machine: fn() -> MachineBuilder,
}

impl Shape {
    /// The machines that this function makes; no other shape of the same program has this name.
    pub const fn new(name: &'static str, machine: fn() -> MachineBuilder) -> Self {
        Self { name, machine }
    }
}

/// Guests that nobody uses at the moment.
static IDLE: Mutex<Vec<Pooled>> = Mutex::new(Vec::new());

/// A guest, and what it looked like after its boot.
pub(crate) struct Pooled {
    shape: &'static str,
    guest: Guest,
    fresh: Vec<String>,
}

impl Pooled {
    /// A guest of this shape: one that a test has left as it was, or a new one.
    pub(crate) fn take(shape: Shape) -> Result<Self> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|pooled| pooled.shape == shape.name) {
            return Ok(idle.swap_remove(at));
        }
        drop(idle);
        let guest = (shape.machine)().boot()?;
        let fresh = state(&guest)?;
        Ok(Self { shape: shape.name, guest, fresh })
    }

    pub(crate) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Ends the test's use of it: the log is judged, and the guest kept if it is as it was.
    pub(crate) fn give_back(self) -> Result<()> {
        let tidy = self.guest.exec(TIDY)?;
        if !tidy.status.success() || state(&self.guest)? != self.fresh {
            return self.guest.finish().map(drop);
        }
        self.guest.turn_page()?;
        static AT_EXIT: Once = Once::new();
        AT_EXIT.call_once(end_idle_guests_at_exit);
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        Ok(())
    }
}

/// What can be seen of a guest, in no order: processes come by their numbers.
fn state(guest: &Guest) -> Result<Vec<String>> {
    let mut lines: Vec<_> = guest.check(STATE)?.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// Statics are not dropped when a process ends; these guests have files and a QEMU to take along.
fn end_idle_guests_at_exit() {
    extern "C" fn end() {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
    // SAFETY: `end` has the C ABI and takes nothing, as the call asks. It is part of this program, which is never unloaded
    // before it exits, and a panic in it aborts, as in any `extern "C"` function, and does not unwind into the C library.
    let refused = unsafe { libc::atexit(end) };
    assert_eq!(refused, 0, "the C library takes no more functions to call at exit");
}
