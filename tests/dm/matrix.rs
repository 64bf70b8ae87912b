// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every target over every kind of disk: fio's verify with many sizes, depths and engines, and file systems.

use std::time::{Duration, Instant};

use blockyard_lab::{Disk, Guest, Result};
use blockyard_tests::{machine, on_guest, run};

use crate::load::survives_reloads;
use crate::{script, with_modules};

/// Bytes of each of the two disks below: xfs wants 300 MiB.
const DISK: u64 = 320 << 20;

/// The targets, as tables over disks `A` and `B` with half the sectors of the two together, or of the first.
const TARGETS: [(&str, &str); 3] = [
    ("hello", "0 655360 hello A 0"),
    ("stripe2", "0 655360 stripe2 2 128 A 64 B 64"),
    ("snap", "0 655360 snap A 0"),
];

/// fio's engine, sizes in bytes, depth, how much is written in all, and whether past the page cache.
type Load = (&'static str, &'static str, u32, &'static str, bool);

/// The three that meet most.
const ODD_PLACES: Load = ("psync", "1000-70000", 1, "8m", false);
const EVERY_SIZE: Load = ("libaio", "512-1m", 64, "24m", true);
const DEEP_QUEUES: Load = ("io_uring", "512-8k", 64, "4m", true);

const REST: [Load; 5] = [
    ("psync", "512", 1, "512k", true),
    ("libaio", "4k", 16, "8m", true),
    ("libaio", "1m", 4, "24m", true),
    ("io_uring", "64k", 8, "16m", true),
    ("io_uring", "1500-9000", 16, "2m", false),
];

/// How much of the matrix a test goes through.
#[derive(Clone, Copy)]
enum Part {
    /// One load.
    Glance(Load),
    /// All loads, and file systems.
    All,
}

/// Makes each target's device over the two disks, verifies it under this part of the loads.
fn verify_all(guest: &Guest, disks: [&str; 2], part: Part) -> Result<()> {
    for (name, table) in TARGETS {
        let table = table.replace('A', disks[0]).replace('B', disks[1]);
        script(guest, &format!("dmsetup create d --table '{table}'; udevadm settle"))?;
        match part {
            Part::Glance(load) => fio(guest, &load)?,
            Part::All => {
                [ODD_PLACES, EVERY_SIZE, DEEP_QUEUES]
                    .iter()
                    .chain(&REST)
                    .try_for_each(|load| fio(guest, load))?;
                file_system(guest, "mkfs.ext4 -q -F", "fsck.ext4 -f -n")?;
                file_system(guest, "mkfs.xfs -q -f", "xfs_repair -n")?;
            }
        }
        script(guest, &format!("udevadm settle; dmsetup remove --retry d; rmmod dm_{name}"))?;
    }
    Ok(())
}

/// Writes at random places, and reads everything back, from the disk: fio checks every block.
fn fio(guest: &Guest, &(engine, sizes, depth, total, direct): &Load) -> Result<()> {
    let key = if sizes.contains('-') { "bsrange" } else { "bs" };
    let job = format!(
        "fio --name=v --filename=/dev/mapper/d --rw=randwrite --{key}={sizes} --size={total} --offset=37888 \
         --ioengine={engine} --iodepth={depth} --direct={} --verify=crc32c --verify_fatal=1 --randseed=7 \
         --output=/tmp/log",
        u8::from(direct)
    );
    let complain = "{ cat /tmp/log; exit 1; }";
    // Past the page cache all places are sectors. Through it they are any; what it holds is dropped before reading.
    let lines = if direct {
        format!("{job} || {complain}")
    } else {
        format!(
            "{job} --do_verify=0 --end_fsync=1 || {complain}
             echo 1 >/proc/sys/vm/drop_caches
             {job} --verify_only=1 || {complain}"
        )
    };
    script(guest, &lines).map(drop)
}

fn file_system(guest: &Guest, make: &str, check: &str) -> Result<()> {
    script(
        guest,
        &format!(
            "{make} /dev/mapper/d; mkdir -p /mnt/d; mount /dev/mapper/d /mnt/d; mkdir /mnt/d/in
             for i in $(seq 20); do head -c $((i * 30000)) /dev/urandom >/mnt/d/in/$i; done
             (cd /mnt/d; sha256sum in/*) >/tmp/sums; rm /mnt/d/in/7; fstrim /mnt/d || true; umount /mnt/d
             {check} /dev/mapper/d >/tmp/log 2>&1 || {{ cat /tmp/log; exit 1; }}
             mount /dev/mapper/d /mnt/d; grep -v 'in/7$' /tmp/sums >/tmp/left
             (cd /mnt/d; sha256sum --quiet -c /tmp/left); umount /mnt/d"
        ),
    )
    .map(drop)
}

/// Loads the three targets.
fn load_targets(guest: &Guest) -> Result<()> {
    TARGETS.iter().try_for_each(|(name, _)| guest.load(&format!("dm_{name}"), ""))
}

fn over_simblk(part: Part) {
    with_modules(&["simblk disks=2 size_mb=320"], |guest| {
        load_targets(guest)?;
        verify_all(guest, ["/dev/simblk0", "/dev/simblk1"], part)
    });
}

fn over_loop(part: Part) {
    on_guest(|guest| {
        load_targets(guest)?;
        let made = script(
            guest,
            &format!("for i in 0 1; do truncate -s {DISK} /tmp/disk$i; losetup --show -f /tmp/disk$i; done"),
        )?;
        let [first, second] = made.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("two loop devices: {made}")
        };
        verify_all(guest, [first, second], part)
    });
}

fn over_virtio(part: Part) {
    let disk = |serial: &str| Disk::size(DISK).serial(serial);
    run(machine().disk(disk("one")).disk(disk("two")), |guest| {
        load_targets(guest)?;
        let disks = script(
            guest,
            "udevadm settle; readlink -f /dev/disk/by-id/virtio-one /dev/disk/by-id/virtio-two",
        )?;
        let [first, second] = disks.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("two disks: {disks}")
        };
        verify_all(guest, [first, second], part)
    });
}

#[test]
fn every_target_over_simblk() {
    over_simblk(Part::Glance(ODD_PLACES));
}

#[test]
fn every_target_over_loop() {
    over_loop(Part::Glance(EVERY_SIZE));
}

#[test]
fn every_target_over_a_virtio_disk() {
    over_virtio(Part::Glance(DEEP_QUEUES));
}

#[test]
#[ignore = "takes minutes"]
fn every_target_over_simblk_under_every_load() {
    over_simblk(Part::All);
}

#[test]
#[ignore = "takes minutes"]
fn every_target_over_loop_under_every_load() {
    over_loop(Part::All);
}

#[test]
#[ignore = "takes minutes"]
fn every_target_over_a_virtio_disk_under_every_load() {
    over_virtio(Part::All);
}

#[test]
#[ignore = "takes a minute"]
fn a_minute_of_reloads_under_load_loses_nothing() {
    with_modules(&["simblk disks=2"], |guest| {
        load_targets(guest)?;
        let tables = [
            ("hello", ["0 32768 hello /dev/simblk0 8", "0 32768 linear /dev/simblk0 8"]),
            (
                "stripe2",
                [
                    "0 32768 stripe2 2 16 /dev/simblk0 0 /dev/simblk1 8",
                    "0 32768 striped 2 16 /dev/simblk0 0 /dev/simblk1 8",
                ],
            ),
            ("snap", ["0 32768 snap /dev/simblk0 0", "0 32768 snap /dev/simblk0 0 64"]),
        ];
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            for (name, tables) in tables {
                script(guest, &format!("dmsetup create {name} --table '{}'; udevadm settle", tables[0]))?;
                survives_reloads(guest, name, &tables, 4)?;
                script(
                    guest,
                    &format!("udevadm settle; dmsetup remove --retry {name}; rm /tmp/enough /tmp/ended"),
                )?;
            }
        }
        Ok(())
    });
}
