// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks that hold data.

use super::{Contender, DISK_MIB, Subject};
use crate::workload::Suite;

/// The simulated disk, against the kernel's disks in memory.
pub fn simblk() -> Subject {
    Subject {
        name: "simblk",
        suite: Suite::Disk,
        up: String::new(),
        down: String::new(),
        ours: Contender {
            name: "simblk",
            needs: module("simblk"),
            up: format!("modprobe simblk disks=1 size_mb={DISK_MIB}"),
            down: "rmmod simblk".into(),
            device: "/dev/simblk0".into(),
        },
        peers: vec![brd(1, DISK_MIB), null_blk(), loop_on_tmpfs()],
    }
}

/// A test for whether there is such a module.
pub(super) fn module(name: &str) -> String {
    format!("modinfo -n {name}")
}

/// The kernel's RAM disk: so many, of this size.
pub(super) fn brd(disks: u32, mib: u64) -> Contender {
    Contender {
        name: "brd",
        needs: module("brd"),
        up: format!("modprobe brd rd_nr={disks} rd_size={}", mib << 10),
        down: "rmmod brd".into(),
        device: "/dev/ram0".into(),
    }
}

/// null_blk with memory behind it, which completes inline, as ours does.
fn null_blk() -> Contender {
    let folder = "/sys/kernel/config/nullb/nullb_bench";
    let settings = [
        ("memory_backed", "1".to_owned()),
        ("size", DISK_MIB.to_string()),
        ("blocksize", "512".into()),
        ("irqmode", "0".into()),
        ("discard", "1".into()),
        ("power", "1".into()),
    ];
    let settings = settings.map(|(name, value)| format!("echo {value} >{folder}/{name}")).join("\n");
    Contender {
        name: "null_blk",
        needs: module("null_blk"),
        up: format!("modprobe null_blk nr_devices=0\nmkdir {folder}\n{settings}"),
        down: format!("rmdir {folder}\nrmmod null_blk"),
        device: "/dev/nullb_bench".into(),
    }
}

/// A loop device over a file in a tmpfs.
fn loop_on_tmpfs() -> Contender {
    let folder = "/run/bench-loop";
    Contender {
        name: "loop",
        needs: "test -b /dev/loop0".into(),
        up: format!(
            "mkdir -p {folder}\nmount -t tmpfs -o size=100% bench {folder}\n\
             truncate -s {DISK_MIB}M {folder}/disk\nlosetup /dev/loop0 {folder}/disk"
        ),
        // Detaching takes effect when the last one that has it open closes it.
        down: format!("losetup -d /dev/loop0\nudevadm settle --timeout=60\numount {folder}"),
        device: "/dev/loop0".into(),
    }
}
