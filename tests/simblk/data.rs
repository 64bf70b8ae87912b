// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written is read back: by dd, fio's verify, file systems and partition tables.

use blockyard_tests::{on_guest, with_simblk};

#[test]
fn random_bytes_at_odd_places_come_back() {
    with_simblk("", |guest| {
        guest.check(
            "dd if=/dev/urandom of=/tmp/model bs=1M count=32 status=none
             dd if=/tmp/model of=/dev/simblk0 bs=1M status=none
             for i in $(seq 25); do
                 at=$(shuf -n 1 -i 0-33000000) len=$(shuf -n 1 -i 1-40000)
                 head -c $len /dev/urandom >/tmp/piece
                 for to in /tmp/model /dev/simblk0; do
                     dd if=/tmp/piece of=$to bs=64k seek=$at oflag=seek_bytes conv=notrunc status=none || exit 1
                 done
             done
             sync; echo 3 >/proc/sys/vm/drop_caches",
        )?;
        guest.check("cmp /tmp/model /dev/simblk0").map(drop)
    });
}

#[test]
fn what_was_never_written_reads_as_zeroes() {
    with_simblk("", |guest| guest.check("cmp -n 33554432 /dev/simblk0 /dev/zero").map(drop));
}

#[test]
fn fio_verifies_every_engine_and_size() {
    with_simblk("", |guest| {
        for (engine, bs, depth) in [
            ("psync", "512", 1),
            ("libaio", "4k", 16),
            ("io_uring", "64k", 8),
            ("libaio", "1m", 4),
            ("io_uring", "512-256k", 32),
        ] {
            let size = if bs == "512" { "2m" } else { "32m" };
            let key = if bs.contains('-') { "bsrange" } else { "bs" };
            guest.check(&format!(
                "fio --name=v --filename=/dev/simblk0 --rw=randwrite --{key}={bs} --size={size} --ioengine={engine} \
                 --iodepth={depth} --direct=1 --verify=crc32c --verify_fatal=1 --randseed=7"
            ))?;
        }
        Ok(())
    });
}

#[test]
fn large_blocks_verify_too() {
    with_simblk("block_size=4096", |guest| {
        guest
            .check(
                "fio --name=v --filename=/dev/simblk0 --rw=randrw --bsrange=4k-128k --size=32m --ioengine=libaio \
                 --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1",
            )
            .map(drop)
    });
}

#[test]
fn two_writers_on_their_own_halves_never_mix() {
    with_simblk("size_mb=64", |guest| {
        guest
            .check(
                "fio --name=v --filename=/dev/simblk0 --rw=randwrite --bsrange=512-64k --size=32m \
                 --offset_increment=32m --numjobs=2 --ioengine=io_uring --iodepth=16 --direct=1 --verify=crc32c \
                 --verify_fatal=1 --group_reporting",
            )
            .map(drop)
    });
}

#[test]
fn ext4_is_made_filled_and_checked() {
    with_simblk("size_mb=128", |guest| {
        guest.check(
            "mkfs.ext4 -q /dev/simblk0 && mkdir -p /mnt/a && mount /dev/simblk0 /mnt/a
             mkdir /mnt/a/d && for i in $(seq 40); do head -c $((i * 30000)) /dev/urandom >/mnt/a/d/$i || exit 1; done
             (cd /mnt/a && sha256sum d/*) >/tmp/sums && umount /mnt/a
             fsck.ext4 -f -n /dev/simblk0 && mount /dev/simblk0 /mnt/a && cd /mnt/a && sha256sum --quiet -c /tmp/sums",
        )?;
        guest.check("cd / && umount /mnt/a").map(drop)
    });
}

#[test]
fn xfs_is_made_filled_and_checked() {
    with_simblk("size_mb=384", |guest| {
        guest.check(
            "mkfs.xfs -q /dev/simblk0 && mkdir -p /mnt/a && mount /dev/simblk0 /mnt/a
             for i in $(seq 40); do head -c $((i * 30000)) /dev/urandom >/mnt/a/$i || exit 1; done
             (cd /mnt/a && sha256sum *) >/tmp/sums && umount /mnt/a
             xfs_repair -n /dev/simblk0 && mount /dev/simblk0 /mnt/a && cd /mnt/a && sha256sum --quiet -c /tmp/sums",
        )?;
        guest.check("cd / && umount /mnt/a").map(drop)
    });
}

#[test]
fn partitions_appear_and_hold_their_own_data() {
    with_simblk("", |guest| {
        guest.check(
            "printf 'size=8M\\nsize=8M\\n' | sfdisk -q --label gpt /dev/simblk0 && udevadm settle --timeout=30
             head -c 8388608 /dev/urandom >/tmp/one; head -c 8388608 /dev/urandom >/tmp/two
             dd if=/tmp/one of=/dev/simblk0p1 bs=1M oflag=direct status=none
             dd if=/tmp/two of=/dev/simblk0p2 bs=1M oflag=direct status=none
             cmp /tmp/one /dev/simblk0p1 && cmp /tmp/two /dev/simblk0p2",
        )?;
        let minors = guest.check("cat /sys/block/simblk0/simblk0p*/dev")?;
        let major = guest.check("awk '$2 == \"simblk\" { print $1 }' /proc/devices")?;
        let wanted: Vec<String> = [1, 2].map(|minor| format!("{}:{minor}", major.trim())).to_vec();
        assert_eq!(minors.lines().collect::<Vec<_>>(), wanted);
        Ok(())
    });
}

#[test]
fn flush_and_fua_reach_the_driver() {
    with_simblk("", |guest| {
        let count = "cat /sys/kernel/debug/simblk/simblk0/flushes";
        let before: u64 = guest.check(count)?.trim().parse().expect("a number");
        guest
            .check("dd if=/dev/urandom of=/dev/simblk0 bs=4k count=8 oflag=direct conv=fsync status=none")?;
        let after: u64 = guest.check(count)?.trim().parse().expect("a number");
        assert!(after > before, "{before} flushes before an fsync, {after} after");
        assert_eq!(guest.check("cat /sys/block/simblk0/queue/fua")?.trim(), "1");
        assert_eq!(guest.check("cat /sys/block/simblk0/queue/write_cache")?.trim(), "write back");
        guest
            .check("dd if=/dev/urandom of=/dev/simblk0 bs=4k count=8 oflag=direct,dsync status=none")
            .map(drop)
    });
}

#[test]
fn io_that_must_not_wait_is_served() {
    with_simblk("", |guest| {
        guest.check("dd if=/dev/zero of=/dev/simblk0 bs=1M count=32 oflag=direct status=none")?;
        guest
            .check(
                "fio --name=n --filename=/dev/simblk0 --rw=randrw --bs=4k --size=8m --ioengine=pvsync2 --direct=1 \
                 --nowait=1 --verify=crc32c --verify_fatal=1",
            )
            .map(drop)
    });
}

#[test]
fn a_request_is_at_most_1024_sectors() {
    on_guest(|guest| {
        guest.load("simblk", "")?;
        assert_eq!(guest.check("cat /sys/block/simblk0/queue/max_hw_sectors_kb")?.trim(), "512");
        Ok(())
    });
}
