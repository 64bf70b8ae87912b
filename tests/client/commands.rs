// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks made, shown and removed, and what wrong use of `simctl` gets.

use blockyard_tests::{on_guest, with_simblk};

use crate::fails;

#[test]
fn without_the_driver_it_says_what_to_load() {
    on_guest(|guest| {
        for command in ["list", "info 0", "create", "remove 0", "register", "io 1"] {
            fails(guest, &format!("simctl {command}"), 3, "modprobe simblk")?;
        }
        fails(guest, "simctl io", 2, "Usage:")
    });
}

#[test]
fn disks_are_made_listed_and_removed() {
    with_simblk("disks=1", |guest| {
        assert_eq!(
            guest.check("simctl create --size 8M --block-size 4096 --memory-cap 1M")?,
            "/dev/simblk1\n"
        );
        guest.check("test -b /dev/simblk1")?;
        let disks: serde_json::Value =
            serde_json::from_str(&guest.check("simctl list --json")?).expect("a JSON document");
        assert_eq!(disks.as_array().map(Vec::len), Some(2), "{disks}");
        let expected = [("size", 8 << 20), ("block_size", 4096), ("memory_cap", 1 << 20), ("index", 1)];
        for (field, value) in expected {
            assert_eq!(disks[1][field], value, "{field} of {disks}");
        }
        assert_eq!(guest.check("blockdev --getsize64 --getss /dev/simblk1")?, "8388608\n4096\n");
        assert!(guest.check("simctl info simblk1")?.contains("size:          8M (2048 pages)"));
        guest.check("simctl remove /dev/simblk1 && udevadm settle && ! test -e /dev/simblk1")?;
        fails(guest, "simctl remove 1", 5, "there is no disk simblk1")
    });
}

#[test]
fn a_disk_in_use_is_removed_by_force_only() {
    with_simblk("disks=1", |guest| {
        fails(guest, "exec 3</dev/simblk0; simctl remove 0", 6, "--force")?;
        // The open file has no disk any more: what it reads fails, or ends at once.
        let read = guest.check("exec 3</dev/simblk0; simctl remove 0 --force >&2 && cat <&3 || true")?;
        assert_eq!(read.len(), 0, "a disk that is gone still gives data");
        assert_eq!(guest.check("simctl list --json")?.trim(), "[]");
        Ok(())
    });
}

#[test]
fn bad_values_and_missing_rights_are_named() {
    with_simblk("disks=1", |guest| {
        for bad in ["--size 0", "--size 5000", "--size 8T", "--block-size 256", "--block-size 3000"] {
            fails(guest, &format!("simctl create {bad}"), 1, "a size is a multiple of 4096")?;
        }
        fails(guest, "setpriv --reuid 65534 --clear-groups simctl list", 4, "root")?;
        // The node's mode is one door, the capability the next: reading needs no right, changing does.
        guest.check("chmod 666 /dev/simblk-control")?;
        guest.check("setpriv --reuid 65534 --clear-groups simctl list")?;
        for command in ["create", "remove 0", "register", "io 1"] {
            fails(
                guest,
                &format!("setpriv --reuid 65534 --clear-groups simctl {command}"),
                4,
                "CAP_SYS_ADMIN",
            )?;
        }
        fails(guest, "simctl list >/dev/full", 1, "No space left")
    });
}

#[test]
fn there_are_at_most_64_disks() {
    with_simblk("disks=64", |guest| {
        fails(guest, "simctl create", 6, "64 disks exist")?;
        fails(guest, "simctl info 64", 2, "simblk0 to simblk63")
    });
}
