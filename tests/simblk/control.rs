// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control device: disks are made, listed, told about and refused.

use blockyard_lab::{Guest, Result};
use blockyard_tests::with_simblk;

/// Exit codes of `simctl`, as its help says.
const NO_SUCH_DISK: i32 = 5;
const IN_USE: i32 = 6;

/// Runs `simctl`, which must end with this code; gives what it said on standard error.
fn refused(guest: &Guest, args: &str, code: i32) -> Result<String> {
    let output = guest.exec(&format!("simctl {args}"))?;
    assert_eq!(output.status.code(), code, "simctl {args}: {}", output.stderr_text());
    Ok(output.stderr_text())
}

#[test]
fn disks_come_and_go() {
    with_simblk("disks=0", |guest| {
        assert_eq!(guest.check("simctl create --size 8M --block-size 4096")?.trim(), "/dev/simblk0");
        assert_eq!(guest.check("simctl create --size 16M")?.trim(), "/dev/simblk1");
        guest.check("udevadm settle --timeout=30")?;
        assert_eq!(
            guest.check("blockdev --getsize64 --getss /dev/simblk0")?.split_whitespace().collect::<Vec<_>>(),
            ["8388608", "4096"]
        );
        guest.check("simctl remove 0 && udevadm settle --timeout=30 && ! test -e /dev/simblk0 && test -b /dev/simblk1")?;
        assert_eq!(guest.check("simctl create")?.trim(), "/dev/simblk0", "the index is free again");
        Ok(())
    });
}

#[test]
fn list_and_info_tell_what_is_there() {
    with_simblk("size_mb=8", |guest| {
        guest.check("dd if=/dev/urandom of=/dev/simblk0 bs=4k count=3 oflag=direct status=none")?;
        let disks: serde_json::Value =
            serde_json::from_str(&guest.check("simctl list --json")?).expect("JSON");
        assert_eq!(disks.as_array().map(Vec::len), Some(1));
        let info: serde_json::Value =
            serde_json::from_str(&guest.check("simctl info 0 --json")?).expect("JSON");
        assert_eq!(
            (&info["size"], &info["pages_held"], &info["mapper"]),
            (&(8 << 20).into(), &3.into(), &false.into())
        );
        assert_eq!(info["bytes_written"], 12288);
        Ok(())
    });
}

#[test]
fn an_open_disk_is_not_removed_without_force() {
    with_simblk("", |guest| {
        guest.check("mkfs.ext4 -q /dev/simblk0 && mkdir -p /mnt/a && mount /dev/simblk0 /mnt/a")?;
        refused(guest, "remove 0", IN_USE)?;
        guest.check("echo x >/mnt/a/f && umount /mnt/a && simctl remove 0").map(drop)
    });
}

#[test]
fn wrong_wishes_are_answered_with_what_is_wrong() {
    with_simblk("", |guest| {
        for wish in ["create --size 1000", "create --size 8T", "create --block-size 3000", "create --size 0"]
        {
            assert_ne!(guest.exec(&format!("simctl {wish}"))?.status.code(), 0, "simctl {wish}");
        }
        refused(guest, "remove 7", NO_SUCH_DISK)?;
        refused(guest, "info 7", NO_SUCH_DISK)?;
        refused(guest, "register --disk 7", NO_SUCH_DISK)?;
        let count = guest.check("ls /sys/block | grep -c '^simblk'")?;
        assert_eq!(count.trim(), "1");
        Ok(())
    });
}

#[test]
fn the_sixty_fifth_disk_is_refused() {
    with_simblk("disks=64 size_mb=1", |guest| {
        assert_ne!(guest.exec("simctl create --size 1M")?.status.code(), 0);
        guest.check("simctl remove 10 && test \"$(simctl create --size 1M)\" = /dev/simblk10").map(drop)
    });
}

#[test]
fn who_is_not_root_cannot_steer() {
    with_simblk("", |guest| {
        let mode = guest.check("stat -c '%a %U' /dev/simblk-control")?;
        assert_eq!(mode.trim(), "600 root");
        let tried = guest.exec("setpriv --reuid=65534 --regid=65534 --clear-groups simctl create")?;
        assert_eq!(tried.status.code(), 4, "{}", tried.stderr_text());
        // The file's mode is not the only guard: who may open it still needs the capability.
        guest.check("chmod 666 /dev/simblk-control")?;
        let tried = guest.exec("setpriv --reuid=65534 --regid=65534 --clear-groups simctl create")?;
        assert_eq!(tried.status.code(), 4, "{}", tried.stderr_text());
        Ok(())
    });
}

#[test]
fn a_program_without_the_driver_is_told_so() {
    blockyard_tests::run(blockyard_tests::machine(), |guest| refused(guest, "list", 3).map(drop));
}
