// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the driver learns from the device, and how the two find each other.

use blockyard_lab::Disk;
use blockyard_tests::on_guest;

use crate::{SERIAL, TAKE, THEIRS, with_disk, with_ours};

#[test]
fn the_disk_is_as_the_device_says() {
    with_disk(Disk::size(24 << 20).read_only(), |guest| {
        let facts = "cd /sys/block/$disk; cat size ro; echo $(cat serial); cat queue/logical_block_size queue/physical_block_size \
            queue/max_segments queue/write_cache queue/discard_granularity queue/discard_max_hw_bytes queue/write_zeroes_max_bytes";
        let theirs = guest.check(&format!("disk=$(basename $(readlink {THEIRS})); {facts}"))?;
        guest.check(TAKE)?;
        let ours = guest.check(&format!("disk=vsim0; {facts}"))?;
        assert_eq!(ours, theirs);
        assert!(ours.starts_with("49152\n1\nours\n"), "{ours}");
        guest
            .check("! dd if=/dev/zero of=/dev/vsim0 bs=4k count=1 status=none 2>/tmp/err && grep . /tmp/err")
            .map(drop)
    });
}

#[test]
fn the_capacity_follows_the_device() {
    with_ours(Disk::size(8 << 20), |guest| {
        guest.resize(SERIAL, 12 << 20)?;
        guest.check("until [ $(cat /sys/block/vsim0/size) = 24576 ]; do :; done")?;
        guest.check("dd if=/dev/urandom of=/dev/vsim0 bs=1M seek=11 count=1 oflag=direct status=none")?;
        guest.resize(SERIAL, 4 << 20)?;
        guest.check("until [ $(blockdev --getsize64 /dev/vsim0) = 4194304 ]; do :; done")?;
        Ok(())
    });
}

#[test]
fn a_bio_is_done_on_the_processor_that_it_came_from() {
    with_ours(Disk::size(8 << 20), |guest| {
        let queues = guest.check("grep -c $(cat /tmp/device)-req /proc/interrupts")?;
        assert_eq!(queues.trim(), "2", "a queue for each processor");
        for cpu in 0..2 {
            guest.check(&format!(
                "count() {{ awk -v d=$(cat /tmp/device)-req '$NF ~ d {{ n += $({cpu} + 2) }} END {{ print n }}' /proc/interrupts; }}
                 before=$(count)
                 for i in $(seq 20); do
                     taskset -c {cpu} dd if=/dev/vsim0 of=/dev/null bs=4k count=1 iflag=direct status=none || exit 1
                 done
                 [ $(count) -ge $((before + 20)) ]"
            ))?;
        }
        Ok(())
    });
}

#[test]
fn the_module_is_found_by_the_devices_alias_and_depends_on_none() {
    on_guest(|guest| {
        assert_eq!(guest.check("modinfo -F alias virtio_simblk")?.trim(), "virtio:d00000002v*");
        assert_eq!(guest.check("modinfo -F depends virtio_simblk")?.trim(), "");
        guest.check(
            "modprobe $(cat /sys/bus/virtio/devices/virtio0/modalias | sed 's/d0000..../d00000002/')",
        )?;
        guest.check("grep -w virtio_simblk /proc/modules && rmmod virtio_simblk").map(drop)
    });
}
