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

#[test]
fn a_file_system_and_fio_find_what_they_wrote() {
    run(machine().cpus(2).device(Device::new("blk,size=256M,queues=2")), |guest| {
        sh(
            guest,
            "fio --name=v --filename=/dev/vda --rw=randwrite --bsrange=512-128k --size=64M --direct=1 \
                 --ioengine=libaio --iodepth=32 --verify=crc32c --verify_state_save=0 --output-format=terse; \
             mkfs.ext4 -q /dev/vda; mount /dev/vda /mnt; cp -r /usr/bin /mnt; sync; \
             echo 3 >/proc/sys/vm/drop_caches; diff -r /usr/bin /mnt/bin; umount /mnt; fsck.ext4 -fn /dev/vda",
        )?;
        Ok(())
    });
}
