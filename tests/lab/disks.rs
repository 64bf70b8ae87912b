// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks: in order, with stable serials, plugged in and out while the guest runs, and whole on the host at the end.

use blockyard_lab::{Disk, Kind};
use blockyard_tests::run;

use crate::{machine, on_bare_guest};

#[test]
fn disks_are_in_order_have_serials_and_refuse_writes_if_told_to() {
    let disks = [Disk::size(8 << 20).serial("first"), Disk::size(16 << 20).read_only()];
    let machine = disks.into_iter().fold(machine(), |machine, disk| machine.disk(disk));
    run(machine, |guest| {
        guest.check("udevadm settle")?;
        let seen = guest
            .check("lsblk --nodeps --bytes --noheadings --output NAME,SIZE,RO,SERIAL /dev/vda /dev/vdb")?;
        let rows: Vec<Vec<&str>> = seen.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows,
            [vec!["vda", "8388608", "0", "first"], vec!["vdb", "16777216", "1", "disk1"]],
            "{seen}"
        );
        guest.check("udevadm settle && cmp /dev/disk/by-id/virtio-first /dev/vda")?;
        assert!(!guest.exec("dd if=/dev/zero of=/dev/vdb bs=4k count=1")?.status.success());
        Ok(())
    });
}

#[test]
fn disks_come_and_go_while_the_guest_runs() {
    on_bare_guest(|guest| {
        for round in 0..3 {
            let serial = guest.attach(Disk::size(4 << 20).serial(format!("hot{round}")))?;
            guest
                .check(&format!("udevadm settle && blockdev --getsize64 /dev/disk/by-id/virtio-{serial}"))?;
            guest.detach(&serial)?;
            guest.check(&format!("udevadm settle && ! grep -r {serial} /sys/block/*/serial"))?;
        }
        assert_eq!(guest.detach("hot0").unwrap_err().kind(), Kind::NotFound);
        guest.attach(Disk::size(512).serial("a"))?;
        assert_eq!(guest.attach(Disk::size(512).serial("a")).unwrap_err().kind(), Kind::Usage);
        guest.detach("a")
    });
}

#[test]
#[ignore = "takes two minutes"]
fn a_disk_that_the_guest_does_not_take_is_unplugged_again() {
    on_bare_guest(|guest| {
        guest.check("echo 0 >/sys/bus/virtio/drivers_autoprobe")?;
        let error = guest.attach(Disk::size(1 << 20).serial("unseen")).unwrap_err();
        assert!(error.to_string().contains("unseen"), "{error}");
        assert_eq!(guest.detach("unseen").unwrap_err().kind(), Kind::NotFound);
        guest.check("echo 1 >/sys/bus/virtio/drivers_autoprobe")?;
        // In the same port.
        guest.attach(Disk::size(1 << 20).serial("seen"))?;
        guest.detach("seen")
    });
}

#[test]
fn what_the_guest_wrote_to_an_image_is_there_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("with, comma.img");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run(machine().disk(Disk::file(&image)), |guest| {
        // Left mounted and unsynced on purpose: the end in good order sees to it.
        guest.check("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && echo kept >/mnt/file").map(drop)
    });
    run(machine().disk(Disk::file(&image).read_only()), |guest| {
        guest.check("mount -o ro,noload /dev/vda /mnt")?;
        assert_eq!(guest.check("cat /mnt/file")?.trim(), "kept");
        assert_eq!(
            guest
                .check("dumpe2fs -h /dev/vda 2>/dev/null | grep 'Filesystem state'")?
                .split_whitespace()
                .last(),
            Some("clean")
        );
        Ok(())
    });
}

#[test]
fn an_image_that_another_guest_writes_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    run(machine().disk(Disk::file(&image)), |_| {
        let error = machine().disk(Disk::file(&image)).boot().unwrap_err();
        assert!(error.to_string().contains("lock"), "{error}");
        Ok(())
    });
}
