// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our disk under the kernel's own `virtio_blk`: what a user of the guest sees of it, and what it keeps when things die.

use blockyard_lab::{Device, Guest, Result};
use blockyard_tests::on_guest_of;

use crate::{STANDARD, with_device};

/// A disk as the guest has it.
struct Disk<'g> {
    guest: &'g Guest,
    name: String,
}

impl Disk<'_> {
    /// Runs a shell script of which every command must succeed; the disk is `/dev/$disk`.
    fn sh(&self, script: &str) -> Result<String> {
        self.guest.check(&format!("set -e; disk={}; {script}", self.name))
    }

    /// What the device has counted under this name.
    fn figure(&self, name: &str) -> Result<u64> {
        Ok(self.guest.device("blk0")?.counters()?[name])
    }
}

/// Runs a test with a disk of this description.
#[track_caller]
fn with_disk(spec: &str, test: impl FnOnce(&Disk<'_>) -> Result<()>) {
    with_device(STANDARD, spec, |guest| {
        let sysfs = guest.device("blk0")?.sysfs()?;
        let name = guest.check(&format!("udevadm settle && ls {sysfs}/block"))?.trim().to_owned();
        test(&Disk { guest, name })
    });
}

#[test]
fn the_kernel_sees_what_the_description_says() {
    with_disk("blk,size=64M,queues=2,serial=our-disk,block-size=4096", |disk| {
        let seen = disk.sh("cd /sys/block/$disk; \
             cat size serial queue/logical_block_size queue/physical_block_size queue/write_cache \
                 queue/discard_granularity queue/write_zeroes_max_bytes; ls mq | wc -l; \
             test $(readlink -f /dev/disk/by-id/virtio-our-disk) = /dev/$disk")?;
        assert_eq!(seen, "131072\nour-disk4096\n4096\nwrite back\n4096\n2147483648\n2\n");
        Ok(())
    });
}

#[test]
fn discard_and_zeroes_reach_the_device() {
    with_disk("blk,size=64M", |disk| {
        disk.sh("dd if=/dev/urandom of=/dev/$disk bs=1M count=32 oflag=direct status=none")?;
        disk.sh("blkdiscard -o 1M -l 2M /dev/$disk; blkdiscard -z -o 4M -l 1M /dev/$disk")?;
        disk.sh("fallocate -z -o 6M -l 1M /dev/$disk; fallocate -p -o 8M -l 1M /dev/$disk")?;
        let is_zero =
            |at: u64, mib: u64| format!("cmp -s -n {} -i 0:{} /dev/zero /dev/$disk", mib << 20, at << 20);
        for (at, mib) in [(1, 2), (4, 1), (6, 1), (8, 1)] {
            disk.sh(&is_zero(at, mib))?;
        }
        for at in [0, 3, 5, 7, 9] {
            disk.sh(&format!("! {}", is_zero(at, 1)))?;
        }
        assert_eq!(disk.figure("blk.discards")?, 1);
        assert!(disk.figure("blk.write_zeroes")? >= 3);
        disk.sh(&format!("blkdiscard -f /dev/$disk; {}", is_zero(0, 64)))?;
        assert_eq!(disk.figure("blk.refused")? + disk.figure("blk.failed")?, 0);
        Ok(())
    });
}

#[test]
fn the_write_cache_is_switched_in_sysfs() {
    with_disk("blk,size=64M", |disk| {
        let flushes = || disk.figure("blk.flushes");
        disk.sh("dd if=/dev/zero of=/dev/$disk bs=4k count=1 conv=fsync status=none")?;
        let with_cache = flushes()?;
        assert!(with_cache > 0, "an fsync is a flush");
        disk.sh(
            "echo 'write through' >/sys/block/$disk/cache_type; grep -q 'write through' /sys/block/$disk/cache_type",
        )?;
        disk.sh("dd if=/dev/zero of=/dev/$disk bs=4k count=1 conv=fsync status=none")?;
        assert_eq!(flushes()?, with_cache, "without a cache there is nothing to flush");
        disk.sh("echo 'write back' >/sys/block/$disk/cache_type")?;
        disk.sh("dd if=/dev/zero of=/dev/$disk bs=4k count=1 conv=fsync status=none")?;
        assert!(flushes()? > with_cache);
        Ok(())
    });
}

#[test]
fn a_read_only_disk_refuses_to_be_written() {
    with_disk("blk,size=16M,read-only", |disk| {
        disk.sh("test $(cat /sys/block/$disk/ro) = 1; ! dd if=/dev/zero of=/dev/$disk count=1 2>/dev/null")?;
        disk.sh("dd if=/dev/$disk of=/dev/null bs=1M status=none")?;
        Ok(())
    });
}

/// The driver lets go of the device and takes it again: queues stop, are given back, and start anew.
#[test]
fn a_driver_that_is_unbound_and_bound_finds_its_disk() {
    with_disk("blk,size=64M,queues=2", |disk| {
        disk.sh("dd if=/dev/urandom of=/tmp/random bs=1M count=8 status=none")?;
        disk.sh("dd if=/tmp/random of=/dev/$disk bs=1M oflag=direct status=none")?;
        let sysfs = disk.guest.device("blk0")?.sysfs()?;
        for _ in 0..3 {
            disk.sh(&format!(
                "d=$(basename {sysfs}); cd /sys/bus/virtio/drivers/virtio_blk; \
                     dd if=/dev/$disk of=/dev/null bs=4k iflag=direct status=none 2>/dev/null & \
                     echo $d >unbind; wait; ! test -e {sysfs}/block; echo $d >bind; udevadm settle; \
                     cmp -n 8388608 /tmp/random /dev/$(ls {sysfs}/block)"
            ))?;
        }
        assert_eq!(disk.figure("queue0.broken")? + disk.figure("queue1.broken")?, 0);
        Ok(())
    });
}

/// Plugged in, put under load, pulled out under it.
#[test]
fn a_disk_that_is_pulled_out_under_load_is_gone() {
    on_guest_of(STANDARD, |guest| {
        for _ in 0..2 {
            let name = guest.attach_device(Device::new("blk,size=64M,queues=2"))?;
            let node =
                guest.check(&format!("udevadm settle && ls {}/block", guest.device(&name)?.sysfs()?))?;
            let job =
                "--rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=32 --time_based --runtime=60";
            guest.check(
                &format!(
                    "set -e; fio --name=l --filename=/dev/{} {job} >/tmp/fio.log 2>&1 & echo $! >/tmp/fio.pid; \
                     until [ $(awk '{{print $5}}' /sys/block/{}/stat) -gt 200 ]; do kill -0 $(cat /tmp/fio.pid); sleep 0.05; done",
                    node.trim(),
                    node.trim()
                ),
            )?;
            guest.detach_device(&name)?;
            guest.check("tail -f /dev/null --pid=$(cat /tmp/fio.pid)")?;
        }
        Ok(())
    });
}
