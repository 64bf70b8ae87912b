// SPDX-License-Identifier: MIT OR Apache-2.0
//! Data through our driver, to QEMU's disk and back.

use std::os::unix::fs::MetadataExt;

use blockyard_lab::{Disk, Result};

use crate::{SERIAL, TAKE, THEIRS, with_disk, with_ours};

#[test]
fn fio_reads_what_it_wrote() {
    with_ours(Disk::size(64 << 20), |guest| {
        guest.check(
            "fio --name=v --filename=/dev/vsim0 --rw=randwrite --bsrange=512-1m --size=48m --direct=1 \
             --ioengine=libaio --iodepth=64 --verify=crc32c --verify_fatal=1 --do_verify=1 --randrepeat=1",
        )?;
        // As the kernel's own driver sees it.
        guest.check(&format!(
            "fio --name=v --filename=/dev/vsim0 --rw=write --bs=64k --size=16m --direct=1 --ioengine=libaio \
             --iodepth=16 --verify=crc32c --do_verify=0 &&
             cd /sys/bus/virtio/drivers && cat /tmp/device >virtio_simblk/unbind &&
             cat /tmp/device >virtio_blk/bind && udevadm settle &&
             fio --name=v --filename={THEIRS} --rw=write --bs=64k --size=16m --direct=1 --verify=crc32c \
             --verify_only --verify_fatal=1",
        ))?;
        Ok(())
    });
}

#[test]
fn flushes_and_durable_writes_reach_the_device_as_with_the_kernels_driver() {
    with_disk(Disk::size(16 << 20), |guest| {
        let flushes = |disk: &str, flags: &str| -> Result<u64> {
            let before = guest.reached(SERIAL)?.flushes;
            guest.check(&format!("dd if=/dev/zero of={disk} bs=4k count=8 status=none {flags}"))?;
            Ok(guest.reached(SERIAL)?.flushes - before)
        };
        let counts = |disk| -> Result<[u64; 3]> {
            let (fsync, durable) = ("conv=notrunc,fsync oflag=direct", "conv=notrunc oflag=direct,dsync");
            Ok([flushes(disk, "conv=notrunc oflag=direct")?, flushes(disk, fsync)?, flushes(disk, durable)?])
        };
        let theirs = counts(THEIRS)?;
        guest.check(TAKE)?;
        let ours = counts("/dev/vsim0")?;
        assert_eq!(ours, theirs);
        assert_eq!(ours[..2], [0, 1]);
        assert!(ours[2] >= 8, "a write that is to be durable has no flush: {ours:?}");
        Ok(())
    });
}

#[test]
fn discards_give_room_back_and_zeroes_are_zeroes_and_both_touch_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let held = || std::fs::metadata(&image).unwrap().blocks() * 512;
    with_ours(Disk::file(&image), |guest| {
        guest.check(
            "head -c 16M /dev/urandom >/tmp/image &&
             dd if=/tmp/image of=/dev/vsim0 bs=1M oflag=direct status=none",
        )?;
        let full = held();
        assert!(full >= 16 << 20, "{full}");
        guest.check("blkdiscard -f -o 1M -l 2M /dev/vsim0")?;
        assert!(held() <= full - (2 << 20), "a discard of 2 MiB left {} bytes of {full}", held());
        guest.check(
            "blkdiscard -f --zeroout -o 4M -l 3M /dev/vsim0 && blkdiscard -f --zeroout -o 8M -l 512 /dev/vsim0 &&
             dd if=/dev/zero of=/tmp/image bs=1M seek=4 count=3 conv=notrunc status=none &&
             dd if=/dev/zero of=/tmp/image bs=512 seek=16384 count=1 conv=notrunc status=none &&
             cmp -n 1M /tmp/image /dev/vsim0 && cmp -i 3M /tmp/image /dev/vsim0",
        )?;
        Ok(())
    });
}

#[test]
fn a_full_queue_makes_bios_wait_and_loses_none() {
    with_ours(Disk::size(64 << 20), |guest| {
        // Slow, so that the queue fills; all from one processor, so that it is one queue.
        guest.throttle(SERIAL, 50)?;
        let fio = guest
            .command([
                "/bin/sh",
                "-c",
                "exec taskset 1 fio --name=v --filename=/dev/vsim0 --rw=write --bs=4k --size=4m --offset_increment=4m \
                 --numjobs=4 --direct=1 --ioengine=libaio --iodepth=128 --verify=crc32c --verify_fatal=1",
            ])
            .spawn()?;
        // More than the queue has room for (256): the others wait.
        guest.check("until [ $(awk '{ print $1 + $2 }' /sys/block/vsim0/inflight) -gt 256 ]; do :; done")?;
        guest.throttle(SERIAL, 0)?;
        let ended = fio.wait()?;
        assert!(ended.status.success(), "{}{}", ended.stdout_text(), ended.stderr_text());
        assert_eq!(guest.check("awk '{ print $1 + $2 }' /sys/block/vsim0/inflight")?.trim(), "0");
        Ok(())
    });
}
