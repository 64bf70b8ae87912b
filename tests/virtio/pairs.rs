// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each driver on each disk: the kernel's `virtio_blk` and ours, over QEMU's disk, over our device, and over our device
//! while it is killed and started again. What was written is read back and compared, raw and through a file system.

use std::path::Path;

use blockyard_lab::{Device, Disk, Guest, Result};
use blockyard_tests::{machine, run};

use crate::{SERIAL, TAKE};

/// Who drives the disk in the guest.
#[derive(Clone, Copy)]
enum Driver {
    VirtioBlk,
    VirtioSimblk,
}

/// Who serves it on the host.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    Qemu,
    OurDevice,
    OurDeviceThatDies,
}

/// Bytes of the disk.
const SIZE: u64 = 160 << 20;

/// Writes all over the disk, and reads back and compares each 64 writes.
const FIO: &str = "--rw=randwrite --bsrange=512-128k --size=48m --io_size=48m --direct=1 --ioengine=libaio \
    --iodepth=32 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --verify_state_save=0";

/// Fills a file system, in which nothing is left of what it was filled from in memory when both are compared.
const FILES: &str =
    "mkfs.ext4 -q -F $disk; mount $disk /mnt; cp -r /usr/bin /mnt; sync; echo 3 >/proc/sys/vm/drop_caches;
    diff -r --no-dereference /usr/bin /mnt/bin; fstrim /mnt; umount /mnt; fsck.ext4 -fn $disk";

fn pair(driver: Driver, server: Server) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    let machine = match server {
        Server::Qemu => machine().disk(Disk::file(&image).serial(SERIAL)),
        _ => machine().device(our_device(&image)),
    };
    run(machine.cpus(2), |guest| {
        let disk = match driver {
            Driver::VirtioBlk => {
                "disk=/dev/$(basename $(dirname $(grep -lx ours /sys/block/*/serial))); test $disk != /dev/vsim0"
            }
            Driver::VirtioSimblk => "disk=/dev/vsim0",
        };
        if matches!(driver, Driver::VirtioSimblk) {
            guest.check(TAKE)?;
        }
        // How often a device that dies does so meanwhile: a file system is filled with few writes, which are large.
        for (job, deaths) in [(format!("fio --name=v --filename=$disk {FIO}"), 3), (FILES.into(), 1)] {
            let line = format!("set -e; udevadm settle; {disk}; {job}");
            if server == Server::OurDeviceThatDies {
                survives_deaths(guest, disk, &line, deaths)?;
            } else {
                guest.check(&line)?;
            }
        }
        Ok(())
    });
}

fn our_device(image: &Path) -> Device {
    Device::new(format!("blk,file={},queues=2,serial={SERIAL}", image.display()))
}

/// Kills the device while this runs, each time some writes further on.
fn survives_deaths(guest: &Guest, disk: &str, line: &str, deaths: u32) -> Result<()> {
    let job = guest.command(["/bin/sh", "-c", &format!("echo $$ >/tmp/job; {line}")]).spawn()?;
    guest.check("until [ -s /tmp/job ]; do :; done")?;
    let device = guest.device("blk0")?;
    for _ in 0..deaths {
        guest.check(&format!(
            "{disk}; cd /sys/block/$(basename $disk); writes() {{ awk '{{ print $5 }}' stat; }}; at=$(writes)
             until [ $(writes) -gt $((at + 3)) ]; do
                 [ -e /proc/$(cat /tmp/job) ] || {{ echo the job ended too early; exit 1; }}
             done"
        ))?;
        device.kill()?;
        device.restart()?;
    }
    let ended = job.wait()?;
    guest.check("rm /tmp/job")?;
    assert!(ended.status.success(), "{}{}", ended.stdout_text(), ended.stderr_text());
    Ok(())
}

#[test]
fn virtio_blk_on_qemus_disk() {
    pair(Driver::VirtioBlk, Server::Qemu);
}

#[test]
fn virtio_blk_on_our_device() {
    pair(Driver::VirtioBlk, Server::OurDevice);
}

#[test]
fn virtio_blk_on_our_device_that_dies_under_load() {
    pair(Driver::VirtioBlk, Server::OurDeviceThatDies);
}

#[test]
fn our_driver_on_qemus_disk() {
    pair(Driver::VirtioSimblk, Server::Qemu);
}

#[test]
fn our_driver_on_our_device() {
    pair(Driver::VirtioSimblk, Server::OurDevice);
}

#[test]
fn our_driver_on_our_device_that_dies_under_load() {
    pair(Driver::VirtioSimblk, Server::OurDeviceThatDies);
}
