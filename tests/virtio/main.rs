// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our virtio drivers, on QEMU's stock devices and on our own.

mod data;
mod device;
mod hello;
mod hostile;
mod pairs;
mod removal;

use blockyard_lab::{Disk, Guest, Result};
use blockyard_tests::on_guest;

/// The serial number of the disk that these tests are about.
const SERIAL: &str = "ours";

/// Takes the disk from the kernel's driver and gives it to ours; leaves its name on the virtio bus in `/tmp/device`.
const TAKE: &str = "udevadm settle && modprobe virtio_simblk &&
    device=$(basename $(readlink -f $(dirname $(grep -lx ours /sys/block/*/serial))/device)) &&
    echo $device >/tmp/device && cd /sys/bus/virtio/drivers &&
    echo $device >virtio_blk/unbind && echo $device >virtio_simblk/bind && udevadm settle";

/// The disk under the kernel's driver.
const THEIRS: &str = "/dev/disk/by-id/virtio-ours";

/// Runs a test with `disk`, which is [`THEIRS`] then.
#[track_caller]
fn with_disk(disk: Disk, test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        guest.attach(disk.serial(SERIAL))?;
        guest.check(&format!("udevadm wait --timeout=60 {THEIRS}"))?;
        test(guest)?;
        guest.detach(SERIAL)
    });
}

/// As [`with_disk`], driven by our driver, as `/dev/vsim0`.
#[track_caller]
fn with_ours(disk: Disk, test: impl FnOnce(&Guest) -> Result<()>) {
    with_disk(disk, |guest| {
        guest.check(TAKE)?;
        test(guest)
    });
}

/// A load on the disk that says "started", and ends with an error if the disk does; in the guest.
const LOAD: &str = "fio --name=load --filename=/dev/vsim0 --rw=randrw --bsrange=512-64k --direct=1 \
    --ioengine=libaio --iodepth=16 --numjobs=2 --time_based --runtime=300 --output=/tmp/fio.log";

/// Starts the load and waits until it runs.
fn load(guest: &Guest) -> Result<blockyard_lab::guest::Running<'_>> {
    let writes = "awk '{ print $5 }' /sys/block/vsim0/stat";
    let before = guest.check(writes)?;
    let fio = guest.command(["/bin/sh", "-c", &format!("exec {LOAD}")]).spawn()?;
    guest.check(&format!("until [ $({writes}) -gt $(({} + 50)) ]; do :; done", before.trim()))?;
    Ok(fio)
}
