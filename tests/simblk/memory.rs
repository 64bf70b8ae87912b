// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory: sparse, given back by discard, capped, and gone with the disk.

use blockyard_lab::{Guest, Result};
use blockyard_tests::{machine, repeated, run, with_simblk};

/// Pages that disk 0 holds.
fn pages(guest: &Guest) -> Result<u64> {
    let text = guest.check("cat /sys/kernel/debug/simblk/simblk0/pages_held")?;
    Ok(text.trim().parse().expect("a number of pages"))
}

#[test]
fn only_what_is_written_takes_memory() {
    with_simblk("size_mb=1024", |guest| {
        let empty = pages(guest)?;
        guest.check("dd if=/dev/simblk0 of=/dev/null bs=1M count=64 iflag=direct status=none")?;
        assert_eq!(pages(guest)?, empty, "reading took memory");
        guest.check("dd if=/dev/urandom of=/dev/simblk0 bs=1M count=3 seek=500 oflag=direct status=none")?;
        assert_eq!(pages(guest)?, empty + 3 * 256);
        Ok(())
    });
}

#[test]
fn discard_gives_memory_back_and_zeroes_what_it_took() {
    with_simblk("", |guest| {
        guest.check("dd if=/dev/urandom of=/dev/simblk0 bs=1M count=32 oflag=direct status=none")?;
        assert_eq!(pages(guest)?, 8192);
        guest.check("blkdiscard -o 1M -l 2M /dev/simblk0")?;
        assert_eq!(pages(guest)?, 8192 - 512);
        guest.check("cmp -i 1048576:0 -n 2097152 /dev/simblk0 /dev/zero")?;
        guest.check("blkdiscard -f /dev/simblk0")?;
        assert_eq!(pages(guest)?, 0);
        guest.check("cmp -n 33554432 /dev/simblk0 /dev/zero").map(drop)
    });
}

#[test]
fn a_discard_of_part_of_a_page_leaves_its_neighbours() {
    with_simblk("", |guest| {
        guest.check("head -c 12288 /dev/urandom >/tmp/m && dd if=/tmp/m of=/dev/simblk0 bs=4k oflag=direct status=none")?;
        guest.check("blkdiscard -o 3584 -l 5120 /dev/simblk0")?;
        guest.check("cmp -n 3584 /tmp/m /dev/simblk0 && cmp -i 8704:8704 -n 3584 /tmp/m /dev/simblk0")?;
        guest.check("cmp -i 4096:0 -n 4096 /dev/simblk0 /dev/zero").map(drop)
    });
}

#[test]
fn write_zeroes_allocates_nothing() {
    with_simblk("", |guest| {
        let empty = pages(guest)?;
        guest.check("blkdiscard -z /dev/simblk0")?;
        assert_eq!(pages(guest)?, empty);
        guest.check("head -c 8192 /dev/urandom >/tmp/m && dd if=/tmp/m of=/dev/simblk0 bs=4k oflag=direct status=none")?;
        guest.check("blkdiscard -z -o 512 -l 1024 /dev/simblk0")?;
        guest.check("cmp -n 512 /tmp/m /dev/simblk0 && cmp -i 1536:1536 -n 6656 /tmp/m /dev/simblk0")?;
        guest.check("cmp -i 512:0 -n 1024 /dev/simblk0 /dev/zero").map(drop)
    });
}

#[test]
fn a_write_over_the_cap_gets_enospc_and_the_disk_lives_on() {
    with_simblk("max_memory_mb=1", |guest| {
        let over = guest.exec("dd if=/dev/urandom of=/dev/simblk0 bs=1M count=4 oflag=direct status=none")?;
        assert_ne!(over.status.code(), 0);
        assert!(over.stderr_text().contains("No space left"), "{}", over.stderr_text());
        assert!(pages(guest)? <= 256, "{} pages under a cap of 256", pages(guest)?);
        guest.check("blkdiscard -f /dev/simblk0")?;
        guest.check("head -c 4096 /dev/urandom >/tmp/m && dd if=/tmp/m of=/dev/simblk0 bs=4k oflag=direct status=none")?;
        guest.check("cmp -n 4096 /tmp/m /dev/simblk0").map(drop)
    });
}

#[test]
fn unloading_a_full_disk_gives_its_memory_back() {
    with_simblk("size_mb=256", |guest| {
        let before = free_kib(guest)?;
        guest.check("dd if=/dev/zero of=/dev/simblk0 bs=1M count=256 oflag=direct status=none")?;
        let full = free_kib(guest)?;
        assert!(before - full > 240 << 10, "256 MiB written took {} KiB", before - full);
        guest.unload("simblk")?;
        let after = free_kib(guest)?;
        assert!(before - after < 16 << 10, "{} KiB did not come back", before - after);
        Ok(())
    });
}

/// The guest's free memory in KiB, caches dropped.
///
/// What the page allocator keeps on its per-CPU lists is free too, and not in `MemFree`: after many pages were
/// freed at once that can be tens of MiB.
fn free_kib(guest: &Guest) -> Result<i64> {
    let text = guest.check(
        "echo 3 >/proc/sys/vm/drop_caches
         awk '$1 == \"nr_free_pages\" || $1 == \"count:\" { pages += $2 } END { print pages * 4 }' /proc/zoneinfo",
    )?;
    Ok(text.trim().parse().expect("a number of KiB"))
}

#[test]
fn discards_under_readers_and_writers_are_safe() {
    with_simblk("", |guest| {
        guest
            .check(
                "fio --direct=1 --ioengine=libaio --iodepth=8 --bs=4k --time_based --runtime=5 --filename=/dev/simblk0 \
                 --name=w --rw=randwrite --name=r --rw=randread --name=t --rw=randtrim --bs=64k",
            )
            .map(drop)
    });
}

repeated!(races_leave_only_what_some_order_of_them_could, 3, 20);

/// The argument in `kernel/kit/mem.rs`, put to the test: every word that is read is one that some order of the reads,
/// writes and discards under way allows. And what was counted is what there is: in the end, nothing.
fn races_leave_only_what_some_order_of_them_could(seconds: u32) {
    run(machine().cpus(4), |guest| {
        guest.load("simblk", "size_mb=4 disks=1")?;
        guest.push(&blockyard_lab::programs::ensure()?.gauge(), "/usr/bin/gauge")?;
        guest.check("udevadm settle --timeout=30")?;
        // With KCSAN: an access in hundreds is looked at, and not in thousands.
        guest.check("k=/sys/module/kcsan/parameters/skip_watch; [ ! -e $k ] || echo 500 >$k")?;
        let done =
            guest.command(["gauge", "race", "/dev/simblk0", "--seconds", &seconds.to_string()]).run()?;
        assert!(done.status.success(), "{}", done.stderr_text());
        let done: serde_json::Value = serde_json::from_str(&done.stdout_text()).expect("gauge prints JSON");
        for what in ["reads", "writes", "discards"] {
            assert!(done[what].as_u64().is_some_and(|n| n > 100), "{done}");
        }
        guest.check("blkdiscard -f /dev/simblk0")?;
        assert_eq!(pages(guest)?, 0);
        Ok(())
    });
}
