// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device that goes while it is used: unbound, unplugged, or with its driver. Whatever was in its queues comes back.

use blockyard_lab::{Disk, Guest, Result};
use blockyard_tests::{on_guest, repeated};

use crate::{SERIAL, TAKE, THEIRS, load, with_ours};

/// Ends the load's wait: it must have failed, as its disk has gone. What was on its way or waits ends with `EIO`,
/// and a write that comes later with `EPERM`, as a dead disk is read-only; which comes first is a matter of luck.
fn assert_failed(fio: blockyard_lab::guest::Running<'_>, guest: &Guest) -> Result<()> {
    let ended = fio.wait()?;
    assert_ne!(ended.status.code(), 0, "fio did not notice");
    let log = guest.check("cat /tmp/fio.log")?;
    let expected = ["Input/output error", "No such device", "Operation not permitted"];
    assert!(
        expected.iter().any(|error| log.contains(error)),
        "no error of a dead disk in what fio says: {log}"
    );
    Ok(())
}

#[test]
fn unbinding_under_load_ends_io_with_errors_and_the_disk_can_come_back() {
    with_ours(Disk::size(32 << 20), |guest| {
        for _ in 0..2 {
            let fio = load(guest)?;
            guest.check("cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/unbind")?;
            assert_failed(fio, guest)?;
            guest.check("cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/bind && udevadm settle")?;
        }
        guest.check("modprobe -r virtio_simblk").map(drop)
    });
}

#[test]
fn what_the_device_still_has_comes_back_when_it_is_unbound() {
    with_ours(Disk::size(32 << 20), |guest| {
        // It would take the device minutes to do what is in its queues. They are not full: whoever waits for room in one does
        // so at the device's pace, and the removal of the disk with them.
        guest.throttle(SERIAL, 1)?;
        let fio = guest
            .command([
                "/bin/sh",
                "-c",
                "exec fio --name=x --filename=/dev/vsim0 --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
                 --iodepth=200 --size=16m --output=/tmp/fio.log",
            ])
            .spawn()?;
        guest.check("until [ $(awk '{ print $1 + $2 }' /sys/block/vsim0/inflight) -gt 180 ]; do :; done")?;
        guest.check("cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/unbind")?;
        assert_failed(fio, guest)?;
        guest.check("rmmod virtio_simblk").map(drop)
    });
}

repeated!(a_driver_is_reloaded_while_programs_use_its_disk, 2, 20);

fn a_driver_is_reloaded_while_programs_use_its_disk(times: u32) {
    with_ours(Disk::size(32 << 20), |guest| {
        for _ in 0..times {
            let fio = load(guest)?;
            guest.check("! rmmod virtio_simblk 2>/tmp/err && grep 'in use' /tmp/err")?;
            guest.check("cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/unbind")?;
            assert_failed(fio, guest)?;
            // The device has no driver now, so loading one is enough.
            guest.check(
                "rmmod virtio_simblk && modprobe virtio_simblk && udevadm settle && [ -b /dev/vsim0 ]",
            )?;
        }
        Ok(())
    });
}

#[test]
fn unbinding_writes_dirty_pages_first() {
    with_ours(Disk::size(64 << 20), |guest| {
        guest.check(&format!(
            "mkfs.ext4 -q /dev/vsim0 && mount /dev/vsim0 /mnt && head -c 20M /dev/urandom >/mnt/file &&
             sha256sum </mnt/file >/tmp/sum && cd /sys/bus/virtio/drivers &&
             cat /tmp/device >virtio_simblk/unbind && ! cat /mnt/file >/dev/null 2>&1 && umount /mnt &&
             rmmod virtio_simblk && cat /tmp/device >virtio_blk/bind && udevadm settle &&
             mount -o ro {THEIRS} /mnt && sha256sum </mnt/file | cmp - /tmp/sum",
        ))?;
        Ok(())
    });
}

repeated!(a_disk_is_unplugged_under_load, 2, 100);

/// Plugs a disk in, gives it to our driver, and pulls it out under load.
fn a_disk_is_unplugged_under_load(times: u32) {
    on_guest(|guest| {
        for _ in 0..times {
            guest.attach(Disk::size(16 << 20).serial(SERIAL))?;
            guest.check(TAKE)?;
            let fio = load(guest)?;
            guest.detach(SERIAL)?;
            assert_failed(fio, guest)?;
        }
        guest.check("rmmod virtio_simblk").map(drop)
    });
}
