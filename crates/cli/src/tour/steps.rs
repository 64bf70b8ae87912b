// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps, in order. Each types what a person would type, and checks what a person would look for.

use blockyard_lab::{Error, Kind, Result};

use super::stage::{Stage, expect, say};
use super::{Step, examples, fio};

/// The disk of the tour.
const DISK: &str = "/dev/simblk0";
/// Its counters; debugfs is mounted by the agent.
const COUNTERS: &str = "/sys/kernel/debug/simblk/simblk0";

/// Every step between the boot and the kernel log's verdict.
pub fn all() -> Vec<Step> {
    vec![
        step("modinfo", "what the module says of itself", modinfo),
        step("insmod", "into the kernel, and what it logs", insmod),
        step("lsmod", "the kernel's list of modules", lsmod),
        step("major number", "the block driver's entry in /proc/devices", devices),
        step("lsblk", "the disk that has appeared", lsblk),
        step("device node", "made by devtmpfs, owned by udev's rules", node),
        step("dd", "16 KiB of random data, written and read back", dd),
        step("partitions", "a table with two, seen by the kernel at once", partitions),
        step("ext4", "made, mounted, used, unmounted, checked", ext4),
        step("page mapping", "a user program decides where each page lands", mapping),
        step("fio", "three jobs, on our disk and on the kernel's own RAM disk", measure),
        step("discard", "memory that comes back", discard),
        step("rmmod", "and out of the kernel again", rmmod),
        step("device mapper", "a target of our own, from the table to a file system on it", device_mapper),
        step("examples", "the small drivers, one line each; ./yard try NAME shows more", examples::each),
    ]
}

fn step(name: &'static str, about: &'static str, run: fn(&mut Stage<'_>) -> Result<()>) -> Step {
    Step { name, about, run }
}

fn modinfo(stage: &mut Stage<'_>) -> Result<()> {
    let said = stage.sh("modinfo simblk")?;
    ["author:", "description:", "license:        GPL", "version:"]
        .iter()
        .try_for_each(|field| expect(&said, field))
}

fn insmod(stage: &mut Stage<'_>) -> Result<()> {
    stage.sh("insmod $(modinfo -n simblk)")?;
    let log = stage.sh("dmesg | grep simblk:")?;
    expect(&log, "simblk: ")?;
    stage.quiet("udevadm settle --timeout=20").map(drop)
}

fn lsmod(stage: &mut Stage<'_>) -> Result<()> {
    expect(&stage.sh("lsmod")?, "simblk")
}

fn devices(stage: &mut Stage<'_>) -> Result<()> {
    expect(&stage.sh("grep simblk /proc/devices")?, "simblk")
}

fn lsblk(stage: &mut Stage<'_>) -> Result<()> {
    let said = stage.sh(&format!("lsblk -o NAME,MAJ:MIN,RM,SIZE,RO,TYPE {DISK}"))?;
    expect(&said, "32M")?;
    expect(&said, "disk")
}

fn node(stage: &mut Stage<'_>) -> Result<()> {
    expect(&stage.sh(&format!("ls -l {DISK}"))?, "brw-")
}

fn dd(stage: &mut Stage<'_>) -> Result<()> {
    stage.sh("dd if=/dev/urandom of=/tmp/random bs=4k count=4 status=none")?;
    stage.sh(&format!("dd if=/tmp/random of={DISK} bs=4k count=4 oflag=direct"))?;
    stage.sh(&format!("dd if={DISK} of=/tmp/back bs=4k count=4 iflag=direct"))?;
    stage.sh("cmp /tmp/random /tmp/back && sha256sum /tmp/random /tmp/back")?;
    say("the same bytes came back");
    Ok(())
}

fn partitions(stage: &mut Stage<'_>) -> Result<()> {
    stage.sh(&format!("printf 'size=20M\\nsize=8M\\n' | sfdisk --quiet --label gpt {DISK}"))?;
    stage.quiet("udevadm settle --timeout=20")?;
    let said = stage.sh(&format!("lsblk -o NAME,MAJ:MIN,SIZE,TYPE {DISK}"))?;
    expect(&said, "simblk0p1")?;
    expect(&said, "simblk0p2")
}

fn ext4(stage: &mut Stage<'_>) -> Result<()> {
    stage.sh(&format!("mkfs.ext4 -q {DISK}p1 && mkdir -p /mnt/yard && mount {DISK}p1 /mnt/yard"))?;
    stage.sh("touch /mnt/yard/empty && cp /tmp/random /mnt/yard/")?;
    expect(&stage.sh("ls -l /mnt/yard")?, "random")?;
    stage.sh("umount /mnt/yard")?;
    let said = stage.sh(&format!("fsck.ext4 -f -n {DISK}p1"))?;
    expect(&said, "clean").or_else(|_| expect(&said, "files"))?;
    stage.quiet(&format!("mount {DISK}p1 /mnt/yard"))?;
    stage.sh("cmp /tmp/random /mnt/yard/random && echo 'the file is whole'")?;
    stage.quiet("umount /mnt/yard").map(drop)
}

/// Writes while `simctl` maps every page 16 places further on, then reads with and without the mapping.
fn mapping(stage: &mut Stage<'_>) -> Result<()> {
    let disk = "/dev/simblk1";
    expect(&stage.sh("simctl create --size 8M")?, disk)?;
    stage.quiet("udevadm settle --timeout=20")?;
    let mapper = stage.start("simctl io 0 --verbose --disk 1 --policy shift=16", "mapper of")?;
    stage.sh(&format!("dd if=/tmp/random of={disk} bs=4k count=1 oflag=direct status=none"))?;
    let page = |n: u32| format!("dd if={disk} skip={n} bs=4k count=1 iflag=direct status=none");
    let same = "cmp -n 4096 /tmp/random -";
    stage.sh(&format!("{} | {same} && echo 'page 0, mapped: what was written'", page(0)))?;
    stage.stop(mapper)?;
    stage
        .sh(&format!("! {} | {same} --quiet && echo 'page 0, no longer mapped: something else'", page(0)))?;
    stage.sh(&format!("{} | {same} && echo 'page 16: there it is'", page(16)))?;
    stage.sh("simctl remove 1").map(drop)
}

fn measure(stage: &mut Stage<'_>) -> Result<()> {
    stage.quiet("modprobe brd rd_nr=1 rd_size=32768 && udevadm settle --timeout=20")?;
    for disk in [DISK, "/dev/ram0"] {
        stage.quiet(&format!("dd if=/dev/zero of={disk} bs=1M count=32 oflag=direct status=none"))?;
    }
    let measured = fio::compare(stage, DISK, "/dev/ram0");
    stage.quiet("rmmod brd")?;
    measured
}

fn discard(stage: &mut Stage<'_>) -> Result<()> {
    let counter = format!("cat {COUNTERS}/pages_held");
    let before = pages(&stage.sh(&counter)?)?;
    stage.sh(&format!("blkdiscard -f {DISK}"))?;
    let after = pages(&stage.sh(&counter)?)?;
    if before == 0 || after != 0 {
        return Err(Error::new(
            Kind::Guest,
            format!("{before} pages held before the discard, {after} after"),
        ));
    }
    say(&format!("{before} pages of 4 KiB went back to the kernel"));
    Ok(())
}

fn pages(text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .map_err(|e| Error::new(Kind::Guest, format!("{text:?} is no number of pages")).with_source(e))
}

fn rmmod(stage: &mut Stage<'_>) -> Result<()> {
    stage.sh("rmmod simblk")?;
    stage.sh("dmesg | grep simblk: | tail -n 2")?;
    stage.sh(&format!("test ! -e {DISK} && ! lsmod | grep simblk && echo 'nothing left'")).map(drop)
}

/// The target `hello`, over a file, by its script.
fn device_mapper(stage: &mut Stage<'_>) -> Result<()> {
    stage.sh("truncate -s 128M /tmp/disk.img && losetup /dev/loop0 /tmp/disk.img && modprobe dm_hello")?;
    expect(&stage.sh("dmsetup targets | grep hello")?, "hello")?;
    stage.sh("echo '0 260096 hello /dev/loop0 2048' | dmsetup create greeting")?;
    stage.quiet("udevadm settle --timeout=20")?;
    expect(&stage.sh("lsblk -o NAME,SIZE,TYPE /dev/loop0")?, "greeting")?;
    stage.sh("dd if=/tmp/random of=/dev/mapper/greeting bs=4k count=4 oflag=direct status=none")?;
    stage.sh("dd if=/dev/loop0 skip=2048 count=32 iflag=direct status=none | cmp - /tmp/random && \
         echo 'the same bytes, 2048 sectors further on'")?;
    stage.sh("mkfs.ext4 -q /dev/mapper/greeting && mount /dev/mapper/greeting /mnt/yard")?;
    expect(&stage.sh("touch /mnt/yard/empty && cp /tmp/random /mnt/yard/ && ls /mnt/yard")?, "random")?;
    stage.sh("umount /mnt/yard && udevadm settle --timeout=20 && dmsetup remove greeting")?;
    stage.sh("losetup --detach /dev/loop0 && rmmod dm_hello").map(drop)
}
