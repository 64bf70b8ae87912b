// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guests that go from one test to the next: booting one costs more than most tests do.
//!
//! A guest is handed on only if nothing tells that a test has been there. After each test what it left is cleared away:
//! modules are unloaded (which is part of what is tested), file systems unmounted, files removed. Then the kernel's log
//! is judged as at a guest's end, and what can be seen of the system must be what it was after the boot: modules,
//! processes, device numbers, disks, mounts, files. Any difference, a failed test, a panic: that guest ends, and the
//! next test boots its own.

use std::sync::{Mutex, Once, PoisonError};

use blockyard_lab::{Guest, Result};

use crate::machine;

/// Prints all that a test may leave behind. What udev does about the boot's devices may not be over when it first runs, so
/// its workers and the links that follow from the nodes are left out.
const STATE: &str = r#"
cut -d' ' -f1 /proc/modules | sort
cat /proc/self/mounts /proc/devices /proc/misc /proc/swaps /proc/sys/kernel/printk
ps -e -o ppid,comm | awk '$1 != 2 && $2 !~ "^(sh|ps|awk|sort|[(]udev-worker[)])$" { print $2 }' | sort
ls /sys/block /sys/class /sys/bus/pci/devices /sys/kernel /sys/kernel/debug /sys/kernel/config / /etc /var
find /dev /tmp /run /root /mnt /home /usr/local /lib/modules -type d \
    '(' -path /dev/pts -o -path /dev/disk -o -path /dev/block -o -path /dev/char -o -path /run/udev -o -path /run/mount ')' \
    -prune -o -print | sort
"#;

/// Clears away what tests leave with good reason: what they loaded, mounted and wrote where anyone may write.
const TIDY: &str = r#"
udevadm control --start-exec-queue
[ "$(ls /dev/mapper)" = control ] || dmsetup remove_all --force
udevadm settle --timeout=30
awk '$2 ~ "^/(mnt|tmp|root|run)/" && $3 != "tmpfs" { print $2 }' /proc/self/mounts | sort -r | xargs -r umount
losetup -D
for _ in 1 2 3; do
    awk '$3 == 0 { print $1 }' /proc/modules | xargs -r -n1 modprobe -r
done
udevadm settle --timeout=30
find /tmp /root /mnt -mindepth 1 -delete
"#;

/// Guests that nobody uses at the moment, and what each looked like after its boot.
static IDLE: Mutex<Vec<Pooled>> = Mutex::new(Vec::new());

pub(crate) struct Pooled {
    guest: Guest,
    fresh: String,
}

impl Pooled {
    /// A guest of the usual shape, with every driver at hand and none loaded: one that a test has left as it was, or a
    /// new one.
    pub(crate) fn take() -> Result<Self> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(pooled) => Ok(pooled),
            None => {
                let guest = machine().boot()?;
                let fresh = guest.check(STATE)?;
                Ok(Self { guest, fresh })
            }
        }
    }

    pub(crate) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Ends the test's use of it: the log is judged, and the guest kept if it is as it was.
    pub(crate) fn give_back(self) -> Result<()> {
        let tidy = self.guest.exec(TIDY)?;
        if !tidy.status.success() || self.guest.check(STATE)? != self.fresh {
            return self.guest.finish().map(drop);
        }
        self.guest.turn_page()?;
        static AT_EXIT: Once = Once::new();
        AT_EXIT.call_once(end_idle_guests_at_exit);
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        Ok(())
    }
}

/// Statics are not dropped when a process ends; these guests have files and a QEMU to take along.
fn end_idle_guests_at_exit() {
    extern "C" fn end() {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
    // SAFETY: `end` is a function of the C ABI that takes nothing, and unwinds over nothing: clearing a vector of guests
    // only drops them, which reports no error.
    let refused = unsafe { libc::atexit(end) };
    assert_eq!(refused, 0, "the C library takes no more functions to call at exit");
}
