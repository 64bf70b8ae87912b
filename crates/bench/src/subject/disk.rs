// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks that hold data.

use blockyard_lab::programs;

use super::{Contender, Subject};
use crate::workload::Suite;

/// The simulated disk, against the kernel's disks in memory, each of so many MiB.
pub fn simblk(mib: u64) -> Subject {
    Subject {
        name: "simblk",
        suite: Suite::Disk,
        up: String::new(),
        down: String::new(),
        ours: Contender {
            name: "simblk",
            needs: module("simblk"),
            up: format!("modprobe simblk disks=1 size_mb={mib}"),
            down: "rmmod simblk".into(),
            device: "/dev/simblk0".into(),
            bring: None,
        },
        peers: vec![brd(1, mib), null_blk(mib), loop_on_tmpfs(mib), zram(mib), scsi_debug(mib), ublk(mib)],
        plug: None,
        mib,
    }
}

/// The simulated disk, against disks that keep nothing: what is left of an I/O without its data.
pub fn simblk_path(mib: u64) -> Subject {
    Subject {
        name: "simblk_path",
        suite: Suite::Path,
        peers: vec![null_blk_empty(mib), rnull(mib), ublk_null()],
        ..simblk(mib)
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
        bring: None,
    }
}

/// null_blk with memory behind it, which completes inline, as ours does.
fn null_blk(mib: u64) -> Contender {
    null_blk_with("null_blk", "1", mib)
}

/// null_blk that forgets what is written, and leaves alone what is read into.
fn null_blk_empty(mib: u64) -> Contender {
    null_blk_with("null_blk-empty", "0", mib)
}

fn null_blk_with(name: &'static str, memory_backed: &str, mib: u64) -> Contender {
    let folder = "/sys/kernel/config/nullb/nullb_bench";
    let settings = [
        ("memory_backed", memory_backed.to_owned()),
        ("size", mib.to_string()),
        ("blocksize", "512".into()),
        // One for each processor: with a single one, two jobs would wait for each other for no good reason.
        ("submit_queues", "$(nproc)".into()),
        ("irqmode", "0".into()),
        ("discard", "1".into()),
        ("power", "1".into()),
    ];
    let settings = settings.map(|(name, value)| format!("echo {value} >{folder}/{name}")).join("\n");
    Contender {
        name,
        needs: module("null_blk"),
        up: format!("modprobe null_blk nr_devices=0\nmkdir {folder}\n{settings}"),
        down: format!("rmdir {folder}\nrmmod null_blk"),
        device: "/dev/nullb_bench".into(),
        bring: None,
    }
}

/// The same in Rust, of upstream.
fn rnull(mib: u64) -> Contender {
    let folder = "/sys/kernel/config/rnull/rnull_bench";
    Contender {
        name: "rnull",
        needs: module("rnull_mod"),
        up: format!(
            "modprobe rnull_mod\nmkdir {folder}\necho {mib} >{folder}/size\necho 512 >{folder}/blocksize\n\
             echo 0 >{folder}/irqmode\necho 1 >{folder}/power"
        ),
        down: format!("echo 0 >{folder}/power\nrmdir {folder}\nrmmod rnull_mod"),
        device: "/dev/rnull_bench".into(),
        bring: None,
    }
}

/// Compressed memory. What is measured with cannot be compressed.
fn zram(mib: u64) -> Contender {
    Contender {
        name: "zram",
        needs: module("zram"),
        up: format!("modprobe zram num_devices=1\necho {mib}M >/sys/block/zram0/disksize"),
        down: "rmmod zram".into(),
        device: "/dev/zram0".into(),
        bring: None,
    }
}

/// A SCSI disk in memory, all of which it has from the beginning on. It completes inline, and discards.
fn scsi_debug(mib: u64) -> Contender {
    Contender {
        name: "scsi_debug",
        needs: module("scsi_debug"),
        up: format!(
            "modprobe scsi_debug dev_size_mb={mib} delay=0 lbpu=1 submit_queues=$(nproc)\n\
             modprobe sd_mod\nudevadm settle --timeout=60"
        ),
        down: "rmmod scsi_debug".into(),
        device: "/dev/sda".into(),
        bring: None,
    }
}

/// A loop device over a file in a tmpfs.
fn loop_on_tmpfs(mib: u64) -> Contender {
    let file = InTmpfs::new("loop", mib);
    Contender {
        name: "loop",
        needs: "test -b /dev/loop0".into(),
        up: format!("{}\nlosetup /dev/loop0 {}", file.up, file.path),
        // Detaching takes effect when the last one that has it open closes it.
        down: format!("losetup -d /dev/loop0\nudevadm settle --timeout=60\n{}", file.down),
        device: "/dev/loop0".into(),
        bring: None,
    }
}

/// A program's disk, over a file in a tmpfs.
fn ublk(mib: u64) -> Contender {
    let file = InTmpfs::new("ublk", mib);
    // With direct I/O, rublk's default, a tmpfs copies no less, and refuses what is not aligned to its pages.
    let ublk = ublk_with("ublk", &format!("loop --file {} --buffered-io", file.path));
    Contender {
        up: format!("{}\n{}", file.up, ublk.up),
        down: format!("{}\n{}", ublk.down, file.down),
        ..ublk
    }
}

/// A program's disk that keeps nothing: the way to the program and back.
fn ublk_null() -> Contender {
    ublk_with("ublk-null", "null")
}

fn ublk_with(name: &'static str, target: &str) -> Contender {
    let device = "/dev/ublkb0";
    Contender {
        name,
        needs: module("ublk_drv"),
        // One queue for each processor, as ours needs none: two jobs should not wait for each other for no good reason.
        up: format!(
            "modprobe ublk_drv\nrublk add {target} --number 0 --queue $(nproc) --quiet\n\
             udevadm wait --timeout=60 {device}"
        ),
        down: "rublk del --number 0\nrmmod ublk_drv".into(),
        device: device.into(),
        bring: Some(|guest| guest.push(&programs::rublk()?.path(), "/usr/bin/rublk")),
    }
}

/// A file in a tmpfs of its own, for a disk that needs one.
struct InTmpfs {
    path: String,
    up: String,
    down: String,
}

impl InTmpfs {
    fn new(name: &str, mib: u64) -> Self {
        let folder = format!("/run/bench-{name}");
        let path = format!("{folder}/disk");
        let up = format!(
            "mkdir -p {folder}\nmount -t tmpfs -o size=100% bench {folder}\ntruncate -s {mib}M {path}"
        );
        Self { path, up, down: format!("umount {folder}") }
    }
}
