// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our disk under the kernel's own `virtio_blk`: what a user of the guest sees of it, and what it keeps when things die.

use blockyard_lab::{Device, Guest, Machine, MachineBuilder};
use blockyard_tests::{kernel, run};

fn machine() -> MachineBuilder {
    Machine::builder().kernel(kernel())
}

fn sh(guest: &Guest, script: &str) -> blockyard_lab::Result<String> {
    guest.check(&format!("set -e; {script}"))
}

#[test]
fn the_kernel_sees_what_the_description_says() {
    let disk = Device::new("blk,size=64M,queues=2,serial=our-disk,block-size=4096");
    run(machine().cpus(2).device(disk), |guest| {
        let seen = sh(
            guest,
            "udevadm settle; cd /sys/block/vda; \
             cat size serial queue/logical_block_size queue/physical_block_size queue/write_cache \
                 queue/discard_granularity queue/write_zeroes_max_bytes; ls mq | wc -l; \
             readlink /dev/disk/by-id/virtio-our-disk",
        )?;
        assert_eq!(seen, "131072\nour-disk4096\n4096\nwrite back\n4096\n2147483648\n2\n../../vda\n");
        Ok(())
    });
}

/// What the device has counted under this name.
fn figure(guest: &Guest, name: &str) -> blockyard_lab::Result<u64> {
    Ok(guest.device("blk0")?.counters()?[name])
}

#[test]
fn discard_and_zeroes_reach_the_device() {
    run(machine().device(Device::new("blk,size=64M")), |guest| {
        sh(guest, "udevadm settle; dd if=/dev/urandom of=/dev/vda bs=1M count=32 oflag=direct status=none")?;
        sh(guest, "blkdiscard -o 1M -l 2M /dev/vda; blkdiscard -z -o 4M -l 1M /dev/vda")?;
        sh(guest, "fallocate -z -o 6M -l 1M /dev/vda; fallocate -p -o 8M -l 1M /dev/vda")?;
        let is_zero =
            |at: u64, mib: u64| format!("cmp -s -n {} -i 0:{} /dev/zero /dev/vda", mib << 20, at << 20);
        for (at, mib) in [(1, 2), (4, 1), (6, 1), (8, 1)] {
            sh(guest, &is_zero(at, mib))?;
        }
        for at in [0, 3, 5, 7, 9] {
            sh(guest, &format!("! {}", is_zero(at, 1)))?;
        }
        assert_eq!(figure(guest, "blk.discards")?, 1);
        assert!(figure(guest, "blk.write_zeroes")? >= 3);
        sh(guest, &format!("blkdiscard -f /dev/vda; {}", is_zero(0, 64)))?;
        assert_eq!(figure(guest, "blk.refused")? + figure(guest, "blk.failed")?, 0);
        Ok(())
    });
}

#[test]
fn the_write_cache_is_switched_in_sysfs() {
    run(machine().device(Device::new("blk,size=64M")), |guest| {
        let flushes = |guest| figure(guest, "blk.flushes");
        sh(guest, "udevadm settle; dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync status=none")?;
        let with_cache = flushes(guest)?;
        assert!(with_cache > 0, "an fsync is a flush");
        sh(
            guest,
            "echo 'write through' >/sys/block/vda/cache_type; grep -q 'write through' /sys/block/vda/cache_type",
        )?;
        sh(guest, "dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync status=none")?;
        assert_eq!(flushes(guest)?, with_cache, "without a cache there is nothing to flush");
        sh(guest, "echo 'write back' >/sys/block/vda/cache_type")?;
        sh(guest, "dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync status=none")?;
        assert!(flushes(guest)? > with_cache);
        Ok(())
    });
}

#[test]
fn a_read_only_disk_refuses_to_be_written() {
    run(machine().device(Device::new("blk,size=16M,read-only")), |guest| {
        sh(
            guest,
            "udevadm settle; test $(cat /sys/block/vda/ro) = 1; ! dd if=/dev/zero of=/dev/vda count=1 2>/dev/null",
        )?;
        sh(guest, "dd if=/dev/vda of=/dev/null bs=1M status=none")?;
        Ok(())
    });
}

/// The driver lets go of the device and takes it again: queues stop, are given back, and start anew.
#[test]
fn a_driver_that_is_unbound_and_bound_finds_its_disk() {
    run(machine().cpus(2).device(Device::new("blk,size=64M,queues=2")), |guest| {
        sh(guest, "udevadm settle; dd if=/dev/urandom of=/tmp/random bs=1M count=8 status=none")?;
        sh(guest, "dd if=/tmp/random of=/dev/vda bs=1M oflag=direct status=none")?;
        let sysfs = guest.device("blk0")?.sysfs()?;
        for _ in 0..5 {
            sh(
                guest,
                &format!(
                    "d=$(basename {sysfs}); cd /sys/bus/virtio/drivers/virtio_blk; \
                     dd if=/dev/vda of=/dev/null bs=4k iflag=direct status=none 2>/dev/null & \
                     echo $d >unbind; wait; ! test -e {sysfs}/block; echo $d >bind; udevadm settle; \
                     cmp -n 8388608 /tmp/random /dev/$(ls {sysfs}/block)"
                ),
            )?;
        }
        assert_eq!(figure(guest, "queue0.broken")? + figure(guest, "queue1.broken")?, 0);
        Ok(())
    });
}

/// Plugged in, put under load, pulled out under it.
#[test]
fn a_disk_that_is_pulled_out_under_load_is_gone() {
    run(machine().cpus(2).expect_device(Device::new("blk,size=64M,queues=2")), |guest| {
        for _ in 0..3 {
            let name = guest.attach_device(Device::new("blk,size=64M,queues=2"))?;
            let node = sh(guest, &format!("udevadm settle; ls {}/block", guest.device(&name)?.sysfs()?))?;
            let job =
                "--rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=32 --time_based --runtime=60";
            sh(
                guest,
                &format!(
                    "fio --name=l --filename=/dev/{} {job} >/tmp/fio.log 2>&1 & echo $! >/tmp/fio.pid; \
                     until [ $(awk '{{print $5}}' /sys/block/{}/stat) -gt 200 ]; do kill -0 $(cat /tmp/fio.pid); sleep 0.05; done",
                    node.trim(),
                    node.trim()
                ),
            )?;
            guest.detach_device(&name)?;
            sh(guest, "tail -f /dev/null --pid=$(cat /tmp/fio.pid)")?;
        }
        Ok(())
    });
}
