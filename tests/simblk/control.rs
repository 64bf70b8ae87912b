// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control device: disks come and go, are told about, and who may do so.
//! (Its other refusals are tested in `tests/client`.)

use blockyard_tests::with_simblk;

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
