// SPDX-License-Identifier: MIT OR Apache-2.0
//! `snap`, the writable view of a disk that stays as it is.

use blockyard_lab::{Guest, Result};
use blockyard_tests::repeated;

use crate::load::survives_reloads;
use crate::model::Model;
use crate::{refused, script, with_modules};

/// Pages of data and of tables that the first line of a device holds.
fn held(guest: &Guest, name: &str) -> Result<(u64, u64)> {
    let text = guest.check(&format!("dmsetup status {name}"))?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, _, "snap", data, "data", "pages,", tables, "table", "pages"] = words[..] else {
        panic!("a snap's status: {text}")
    };
    Ok((data.parse().expect("a number of pages"), tables.parse().expect("a number of pages")))
}

/// What the kernel has free, in KiB, with what it keeps at hand for each processor, and no caches.
fn free_kib(guest: &Guest) -> Result<i64> {
    let text = guest.check(
        "echo 3 >/proc/sys/vm/drop_caches
         awk '$1 == \"nr_free_pages\" || $1 == \"count:\" { pages += $2 } END { print pages * 4 }' /proc/zoneinfo",
    )?;
    Ok(text.trim().parse().expect("a number of KiB"))
}

#[test]
fn random_operations_leave_what_they_leave_in_a_plain_file() {
    with_modules(&["simblk size_mb=8", "dm_snap"], |guest| {
        let mut model = Model::new(guest, "/dev/simblk0", 8 << 20)?;
        script(
            guest,
            "dmsetup create v --table '0 16384 snap /dev/simblk0 0'
             dmsetup create other --table '0 16380 snap /dev/simblk0 3'; udevadm settle",
        )?;
        for _ in 0..2 {
            model.operate(guest, "/dev/mapper/v", 24)?;
            model.compare(guest, "/dev/mapper/v")?;
        }
        script(guest, "dmsetup message v 0 reset")?;
        model.reset();
        assert_eq!(held(guest, "v")?, (0, 0));
        model.compare(guest, "/dev/mapper/v")?;
        model.operate(guest, "/dev/mapper/v", 24)?;
        model.compare(guest, "/dev/mapper/v")?;
        // Neither the origin nor another view of it has seen any of that.
        script(
            guest,
            "cmp /tmp/origin /dev/simblk0
             tail -c +1537 /tmp/origin | head -c 8386560 | cmp - /dev/mapper/other",
        )?;
        assert_eq!(held(guest, "other")?, (0, 0));
        Ok(())
    });
}

#[test]
fn wrong_arguments_and_messages_are_named_and_nothing_stays_open() {
    with_modules(&["simblk", "dm_snap"], |guest| {
        let invalid = "Invalid argument";
        refused(
            guest,
            &[
                (
                    "0 8 snap /dev/simblk0",
                    invalid,
                    "snap: at least 2 arguments wanted (ORIGIN START [MAX_MIB]), 1 given",
                ),
                ("0 8 snap /dev/simblk0 x", invalid, "snap: argument 2 (start sector): 'x' is not a number"),
                ("0 8 snap /dev/simblk0 65529", invalid, "'65529' is too far: 8 sectors are wanted"),
                (
                    "0 8 snap /dev/simblk0 0 1G",
                    invalid,
                    "argument 3 (most memory in MiB): '1G' is not a number",
                ),
                ("0 8 snap /dev/simblk0 0 1 2", invalid, "argument 4 (unexpected): '2' is one too many"),
                (
                    "0 8 snap /dev/none 0",
                    "No such file or directory",
                    "argument 1 (origin): '/dev/none' cannot be opened",
                ),
            ],
        )?;
        script(
            guest,
            "dmsetup create v --table '0 8 snap /dev/simblk0 129 5'
             dmsetup table v | grep -qx '0 8 snap 252:0 129 5'
             ! dmsetup message v 0 rest 2>/tmp/err; grep -q 'Invalid argument' /tmp/err
             dmesg | grep -q \"snap: message: argument 1 (command): 'rest' is not 'reset'\"
             ! rmmod dm_snap 2>/tmp/err; grep -q 'in use' /tmp/err
             udevadm settle; dmsetup remove --retry v; rmmod dm_snap; rmmod simblk",
        )
        .map(drop)
    });
}

#[test]
fn memory_follows_what_is_written_up_to_the_cap() {
    with_modules(&["simblk size_mb=256", "dm_snap"], |guest| {
        script(guest, "dmsetup create v --table '0 524288 snap /dev/simblk0 0'; udevadm settle")?;
        let (data, _) = held(guest, "v")?;
        assert_eq!(data, 0, "reading took memory");
        // A sector takes a page; so does the rest of that page, which is the same one.
        script(
            guest,
            "dd if=/dev/urandom of=/dev/mapper/v bs=512 count=1 seek=803 oflag=direct status=none",
        )?;
        script(
            guest,
            "dd if=/dev/urandom of=/dev/mapper/v bs=512 count=8 seek=800 oflag=direct status=none",
        )?;
        assert_eq!(held(guest, "v")?.0, 1);
        script(guest, "dd if=/dev/urandom of=/dev/mapper/v bs=1M count=3 seek=100 oflag=direct status=none")?;
        assert_eq!(held(guest, "v")?.0, 1 + 3 * 256);
        // Zeroes take none, and give back what they replace.
        script(
            guest,
            "blkdiscard -f -z -o 100M -l 2M /dev/mapper/v; blkdiscard -f -o 120M -l 60M /dev/mapper/v",
        )?;
        let (data, tables) = held(guest, "v")?;
        assert_eq!(data, 1 + 256);
        script(
            guest,
            "blkdiscard -f /dev/mapper/v; dd if=/dev/mapper/v bs=1M iflag=direct status=none | cmp -n 268435456 - /dev/zero",
        )?;
        assert_eq!(held(guest, "v")?, (0, tables));
        script(guest, "dmsetup message v 0 reset; blkdiscard -f /dev/mapper/v")?;
        assert_eq!(held(guest, "v")?, (0, 0), "zeroing all of an empty view takes nothing");
        the_cap_holds(guest)
    });
}

/// Over the cap there is no space left; what is within it stays as it was, and room that is made can be used.
fn the_cap_holds(guest: &Guest) -> Result<()> {
    script(
        guest,
        "dmsetup reload v --table '0 524288 snap /dev/simblk0 0 2'; dmsetup resume v
         head -c 1048576 /dev/urandom >/tmp/m; dd if=/tmp/m of=/dev/mapper/v bs=1M oflag=direct status=none
         ! dd if=/dev/zero of=/dev/mapper/v bs=1M seek=1 count=2 oflag=direct status=none 2>/tmp/err
         grep -q 'No space left on device' /tmp/err; cmp -n 1048576 /tmp/m /dev/mapper/v",
    )?;
    let (data, tables) = held(guest, "v")?;
    assert!(data + tables <= 512, "{data} and {tables} pages under a cap of 512");
    script(
        guest,
        "blkdiscard -f -l 512K /dev/mapper/v
         dd if=/tmp/m of=/dev/mapper/v bs=64k count=4 seek=4 oflag=direct status=none
         dd if=/dev/mapper/v bs=64k skip=4 count=4 iflag=direct status=none | cmp -n 262144 - /tmp/m",
    )
    .map(drop)
}

repeated!(views_are_independent_and_give_their_memory_back, 10, 100);

fn views_are_independent_and_give_their_memory_back(views: u32) {
    with_modules(&["simblk size_mb=64", "dm_snap"], |guest| {
        let before = free_kib(guest)?;
        script(
            guest,
            &format!("head -c 1048576 /dev/urandom >/tmp/origin; dd if=/tmp/origin of=/dev/simblk0 bs=64k oflag=direct status=none
             for i in $(seq {views}); do dmsetup create v$i --noudevsync --table '0 131072 snap /dev/simblk0 0'; done
             udevadm settle
             for i in $(seq {views}); do
                 yes view $i | dd of=/dev/mapper/v$i bs=4k seek=$i count=1 iflag=fullblock oflag=direct status=none
             done"),
        )?;
        assert_eq!(held(guest, &format!("v{views}"))?.0, 1);
        script(
            guest,
            &format!(
                "head -c 4096 /dev/zero >/tmp/none
             for i in $(seq {views}); do
                 cp /tmp/origin /tmp/want
                 yes view $i | dd of=/tmp/want bs=4k seek=$i count=1 iflag=fullblock conv=notrunc status=none
                 dd if=/dev/mapper/v$i bs=512k count=2 iflag=direct status=none | cmp - /tmp/want || exit 1
             done
             cmp -n 1048576 /tmp/origin /dev/simblk0
             dd if=/dev/zero of=/dev/mapper/v7 bs=1M count=64 oflag=direct status=none"
            ),
        )?;
        let full = free_kib(guest)?;
        assert!(before - full > 60 << 10, "64 MiB written to a view took {} KiB", before - full);
        // Unloading waits for what is still to be freed.
        script(
            guest,
            &format!(
                "for i in $(seq {views}); do dmsetup remove --retry v$i; done
             rmmod dm_snap; udevadm settle; rmmod simblk; rm /tmp/origin /tmp/want"
            ),
        )?;
        let after = free_kib(guest)?;
        assert!(before - after < 16 << 10, "{} KiB did not come back", before - after);
        Ok(())
    });
}

#[test]
fn file_systems_live_in_views_of_one_origin() {
    with_modules(&["simblk size_mb=384", "dm_snap"], |guest| {
        let fill = "for i in $(seq 20); do head -c $((i * 30000)) /dev/urandom >/mnt/v/$i; done
                    (cd /mnt/v; sha256sum [0-9]*) >/tmp/sums; umount /mnt/v";
        let check = "mount /dev/mapper/v /mnt/v; (cd /mnt/v; sha256sum --quiet -c /tmp/sums)";
        script(
            guest,
            &format!(
                "mkfs.ext4 -q /dev/simblk0; mkdir -p /mnt/v; mount /dev/simblk0 /mnt/v; echo kept >/mnt/v/old; umount /mnt/v
                 md5sum /dev/simblk0 >/tmp/origin
                 dmsetup create v --table '0 786432 snap /dev/simblk0 0'; udevadm settle
                 mount /dev/mapper/v /mnt/v; [ \"$(cat /mnt/v/old)\" = kept ]; rm /mnt/v/old; fstrim /mnt/v
                 {fill}; fsck.ext4 -f -n /dev/mapper/v >/dev/null; {check}; umount /mnt/v
                 dmsetup create w --table '0 786432 snap /dev/simblk0 0'; udevadm settle
                 mkdir -p /mnt/w; mount /dev/mapper/w /mnt/w; [ \"$(cat /mnt/w/old)\" = kept ]; umount /mnt/w
                 dmsetup message v 0 reset; mkfs.xfs -q -f /dev/mapper/v; mount /dev/mapper/v /mnt/v
                 {fill}; xfs_repair -n /dev/mapper/v >/dev/null 2>&1; {check}; umount /mnt/v
                 fsck.ext4 -f -n /dev/mapper/w >/dev/null; md5sum --quiet -c /tmp/origin
                 udevadm settle; dmsetup remove --retry w; dmsetup remove --retry v; rmmod dm_snap"
            ),
        )
        .map(drop)
    });
}

#[test]
fn reset_and_discard_under_io_harm_nothing() {
    with_modules(&["simblk size_mb=16", "dm_snap"], |guest| {
        script(
            guest,
            "head -c 16777216 /dev/urandom >/tmp/origin; dd if=/tmp/origin of=/dev/simblk0 bs=1M oflag=direct status=none
             dmsetup create v --table '0 32768 snap /dev/simblk0 0'; udevadm settle
             fio --direct=1 --ioengine=libaio --iodepth=8 --bsrange=512-64k --size=16m --time_based --runtime=3600 --filename=/dev/mapper/v \
                 --name=w --rw=randwrite --name=r --rw=randread --name=t --rw=randtrim --bs=64k --output=/tmp/log & load=$!
             # Each reset meets a view that has been written to since the last one.
             for i in $(seq 8); do
                 until ! dmsetup status v | grep -q 'snap 0 data'; do kill -0 $load; done
                 dmsetup message v 0 reset
             done
             kill $load; wait $load || true; udevadm settle
             dmsetup message v 0 reset
             dd if=/dev/mapper/v bs=1M iflag=direct status=none | cmp - /tmp/origin
             fio --direct=1 --ioengine=libaio --iodepth=8 --bsrange=512-64k --size=16m --filename=/dev/mapper/v \
                 --name=v --rw=randwrite --verify=crc32c --verify_fatal=1 --output=/tmp/log
             cmp /tmp/origin /dev/simblk0
             dmsetup remove --retry v; rmmod dm_snap",
        )
        .map(drop)
    });
}

#[test]
fn suspending_and_reloading_under_load_loses_nothing() {
    with_modules(&["simblk", "dm_snap"], |guest| {
        script(guest, "dmsetup create v --table '0 32768 snap /dev/simblk0 8'; udevadm settle")?;
        survives_reloads(guest, "v", &["0 32768 snap /dev/simblk0 8", "0 32768 snap /dev/simblk0 8 64"], 1)?;
        // Another view of it, in its place, begins empty.
        script(guest, "dmsetup reload v --table '0 32768 snap /dev/simblk0 0'; dmsetup resume v")?;
        assert_eq!(held(guest, "v")?, (0, 0));
        script(guest, "udevadm settle; dmsetup remove --retry v; rmmod dm_snap").map(drop)
    });
}
