// SPDX-License-Identifier: MIT OR Apache-2.0
//! `stripe2`, the target that spreads a device over others.

use blockyard_lab::Result;

use crate::load::survives_reloads;
use crate::{Io, refused, script, with_modules};

#[test]
fn every_byte_lies_where_dm_stripe_would_put_it() {
    with_modules(&["simblk disks=5 size_mb=8", "dm_stripe2"], |guest| {
        script(guest, "head -c 26000000 /dev/urandom >/tmp/r")?;
        for (count, chunk, sectors, starts) in [
            (2, 8, 32768, [0, 0, 0, 0, 0]),
            (3, 13, 39000, [0, 7, 1000, 0, 0]),
            (5, 64, 51_200, [0, 0, 3, 0, 64]),
        ] {
            let devices: String = (0..count).map(|i| format!(" /dev/simblk{i} {}", starts[i])).collect();
            let bytes = sectors * 512;
            let table = |kind| format!("0 {sectors} {kind} {count} {chunk}{devices}");
            let (ours, theirs) = (table("stripe2"), table("striped"));
            // The same is done to both, with all disks empty before; then all disks are compared.
            let job = "dd if=/tmp/r of=/dev/mapper/s bs=1000k conv=fsync status=none 2>/dev/null || true
                 dd if=/tmp/r of=/dev/mapper/s bs=7k seek=11 count=90 oflag=direct status=none
                 blkdiscard -f -o 51200 -l 3072000 /dev/mapper/s; blkdiscard -f -o 10240000 -l 512 /dev/mapper/s
                 blkdiscard -f -z -o 12345856 -l 1234944 /dev/mapper/s";
            let sums = |table: &str| -> Result<String> {
                script(
                    guest,
                    &format!(
                        "for i in 0 1 2 3 4; do blkdiscard -f /dev/simblk$i; done
                         dmsetup create s --table '{table}'; {job}
                         head -c {bytes} /dev/mapper/s | md5sum
                         udevadm settle; dmsetup remove --retry s
                         cat /sys/kernel/debug/simblk/simblk*/pages_held
                         for i in 0 1 2 3 4; do md5sum </dev/simblk$i; done"
                    ),
                )
            };
            assert_eq!(sums(&ours)?, sums(&theirs)?, "{ours}");
        }
        script(guest, "udevadm settle; rmmod dm_stripe2").map(drop)
    });
}

#[test]
fn a_wrong_argument_is_named_and_the_right_ones_come_back() {
    with_modules(&["simblk disks=2", "dm_stripe2"], |guest| {
        let invalid = "Invalid argument";
        let (a, b) = ("/dev/simblk0", "/dev/simblk1");
        refused(
            guest,
            &[
                (
                    "0 16 stripe2",
                    invalid,
                    "stripe2: at least 2 arguments wanted (COUNT CHUNK [DEVICE START]..), 0 given",
                ),
                ("0 16 stripe2 two 8", invalid, "argument 1 (number of stripes): 'two' is not a number"),
                (
                    &format!("0 16 stripe2 1 8 {a} 0"),
                    invalid,
                    "argument 1 (number of stripes) must be 2 or more",
                ),
                (
                    &format!("0 16 stripe2 2 0 {a} 0 {b} 0"),
                    invalid,
                    "argument 2 (sectors of a chunk) must be 1 or more",
                ),
                (
                    "0 16 stripe2 2 4294967296",
                    invalid,
                    "argument 2 (sectors of a chunk): '4294967296' is too large",
                ),
                (
                    &format!("0 24 stripe2 2 8 {a} 0 {b} 0"),
                    invalid,
                    "the length, 24 sectors, is no multiple of a row, 16",
                ),
                (
                    &format!("0 16 stripe2 2 8 {a} 0 {b}"),
                    invalid,
                    "6 arguments wanted (COUNT CHUNK, and DEVICE START for each), 5 given",
                ),
                (&format!("0 16 stripe2 4294967295 1 {a} 0"), invalid, "is no multiple of a row, 4294967295"),
                (
                    &format!("0 16 stripe2 2 8 {a} 0 {b} 65529"),
                    invalid,
                    "argument 6 (start sector): '65529' is too far",
                ),
                (
                    &format!("0 16 stripe2 2 8 {a} 0 /dev/none 0"),
                    "No such file or directory",
                    "argument 5 (device): '/dev/none' cannot be opened as a block device",
                ),
            ],
        )?;
        let table = script(
            guest,
            "dmsetup create s --table '0 1600 stripe2 2 8 /dev/simblk0 3 /dev/simblk1 0'
             dmsetup table s >/tmp/t; udevadm settle; dmsetup remove --retry s
             dmsetup create s </tmp/t; dmsetup table s; dmsetup status s
             cat /sys/block/dm-0/queue/minimum_io_size /sys/block/dm-0/queue/optimal_io_size
             udevadm settle; dmsetup remove --retry s; rmmod dm_stripe2; rmmod simblk",
        )?;
        let expected = "0 1600 stripe2 2 8 252:0 3 252:16 0\n0 1600 stripe2 \n4096\n8192\n";
        assert_eq!(table, expected);
        Ok(())
    });
}

#[test]
fn a_flush_reaches_every_disk_however_the_table_is_made() {
    with_modules(&["simblk disks=3", "dm_stripe2", "dm_hello"], |guest| {
        let one = "0 1600 stripe2 2 8 /dev/simblk0 0 /dev/simblk1 0";
        // Here a flush goes through `map`, as the second target wants to see it.
        let two = "0 1600 stripe2 2 8 /dev/simblk0 0 /dev/simblk1 0\n1600 8 hello /dev/simblk2 0";
        for (table, disks) in [(one, 2), (two, 3)] {
            let quiet = "udevadm settle; udevadm control --stop-exec-queue";
            script(guest, &format!("dmsetup create s --table '{table}'; {quiet}"))?;
            let before = (0..3).map(|disk| Io::of(guest, disk)).collect::<Result<Vec<_>>>()?;
            script(guest, "sync /dev/mapper/s")?;
            for (disk, before) in (0..3).zip(before) {
                let expected = Io { flushes: u64::from(disk < disks), ..Io::default() };
                assert_eq!(Io::of(guest, disk)?.since(before), expected, "disk {disk} of {table}");
            }
            // A write with FUA is durable where it is, and a discard goes to those that have a part of it.
            script(
                guest,
                "dd if=/dev/zero of=/dev/mapper/s bs=4k count=1 seek=1 oflag=direct,dsync status=none",
            )?;
            let before = Io::of(guest, 0)?;
            script(guest, "blkdiscard -f -o 4096 -l 4096 /dev/mapper/s")?;
            assert_eq!(Io::of(guest, 0)?.since(before), Io::default(), "that chunk is on the second disk");
            script(guest, "udevadm control --start-exec-queue; udevadm settle; dmsetup remove --retry s")?;
        }
        Ok(())
    });
}

#[test]
fn suspending_and_reloading_under_load_loses_nothing() {
    with_modules(&["simblk disks=2", "dm_stripe2"], |guest| {
        let devices = "2 24 /dev/simblk0 0 /dev/simblk1 5";
        let ours = format!("0 48000 stripe2 {devices}");
        script(guest, &format!("dmsetup create s --table '{ours}'; udevadm settle"))?;
        survives_reloads(guest, "s", &[&format!("0 48000 striped {devices}"), &ours], 1)?;
        script(guest, "udevadm settle; dmsetup remove --retry s; rmmod dm_stripe2").map(drop)
    });
}
