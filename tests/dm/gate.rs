// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gate`, the target that lets I/O wait: what a target holds is neither lost nor done twice.

use std::time::Duration;

use blockyard_lab::{Guest, Result};

use crate::{script, with_modules};

const MADE: &str = "dmsetup create g --table '0 65536 gate /dev/simblk0 0'; udevadm settle";

/// Compares the first 64 KiB below, not what is cached of them, with a file.
const BELOW: &str =
    "below() { dd if=/dev/simblk0 bs=64k count=1 iflag=direct status=none | cmp -n 65536 - $1; }";

/// Waits until this many bios wait.
fn waits_for(guest: &Guest, count: u32) -> Result<()> {
    guest.check(&format!("until dmsetup status g | grep -q ' gate [a-z]* {count} '; do :; done")).map(drop)
}

/// Runs `command`, which must not end before `opens` has let it, and then end well.
fn held_until(guest: &Guest, command: &str, count: u32, opens: &str) -> Result<()> {
    let command = format!("echo begun; {command} && echo ended");
    let mut running = guest.command(["/bin/sh", "-c", &command]).spawn()?;
    running.wait_for_text("begun", Duration::from_secs(30))?;
    waits_for(guest, count)?;
    let reads = guest.check("cat /sys/kernel/debug/simblk/simblk0/writes")?;
    script(guest, opens)?;
    let ended = running.wait()?;
    assert!(ended.stdout_text().ends_with("ended\n"), "{command}: {} {}", ended.status, ended.stderr_text());
    let now = guest.check("cat /sys/kernel/debug/simblk/simblk0/writes")?;
    assert_ne!(now, reads, "nothing was written below");
    Ok(())
}

#[test]
fn what_waits_is_done_once_the_gate_opens() {
    with_modules(&["simblk", "dm_gate"], |guest| {
        script(
            guest,
            &format!("{MADE}; head -c 65536 /dev/urandom >/tmp/r; dmsetup message g 0 shut writes"),
        )?;
        assert_eq!(guest.check("dmsetup status g")?.trim(), "0 65536 gate writes 0 0 0");
        let write = "dd if=/tmp/r of=/dev/mapper/g bs=64k oflag=direct status=none";
        held_until(guest, write, 1, &format!("{BELOW}; below /dev/zero; dmsetup message g 0 open"))?;
        script(
            guest,
            &format!(
                "{BELOW}; below /tmp/r; cmp -n 65536 /tmp/r /dev/mapper/g
                 [ \"$(dmsetup status g)\" = '0 65536 gate open 0 1 0' ]
                 ! dmsetup message g 0 shut doors 2>/dev/null; ! dmsetup message g 0 ajar 2>/dev/null
                 ! dmsetup message g 0 open wide 2>/dev/null"
            ),
        )?;
        let log = guest.dmesg()?;
        for sentence in [
            "gate: message: argument 2 (what): 'doors' is not one of reads, writes, flushes, all",
            "gate: message: argument 1 (command): 'ajar' is neither 'shut' nor 'open'",
            "gate: message: argument 2 (unexpected): 'wide' is one too many",
        ] {
            assert!(log.iter().any(|line| line.text.contains(sentence)), "{sentence}");
        }
        Ok(())
    });
}

#[test]
fn a_suspend_does_not_wait_for_what_waits() {
    with_modules(&["simblk", "dm_gate"], |guest| {
        script(guest, &format!("{MADE}; head -c 65536 /dev/urandom >/tmp/r"))?;
        // With a flush, the held write is done; without one, it comes again after the resume, to the table of then.
        let elsewhere = "dmsetup reload g --table '0 65536 linear /dev/simblk0 0'";
        for (suspend, reload) in
            [("", "true"), ("--noflush --nolockfs", "true"), ("--noflush --nolockfs", elsewhere)]
        {
            script(guest, "blkdiscard -f /dev/simblk0; dmsetup message g 0 shut writes")?;
            let write = "dd if=/tmp/r of=/dev/mapper/g bs=4k count=16 oflag=direct status=none";
            let opens = format!(
                "dmsetup suspend {suspend} g; ! dmsetup message g 0 shut all 2>/tmp/err
                 grep -q 'Device or resource busy' /tmp/err; {reload}; dmsetup resume g"
            );
            held_until(guest, write, 1, &opens)?;
            script(guest, &format!("{BELOW}; below /tmp/r"))?;
        }
        script(guest, "udevadm settle; dmsetup remove --retry g; rmmod dm_gate; rmmod simblk").map(drop)
    });
}

#[test]
fn a_write_that_waited_while_the_disk_went_fails() {
    with_modules(&["simblk", "dm_gate"], |guest| {
        script(guest, &format!("{MADE}; dmsetup message g 0 shut writes"))?;
        let write = "echo begun; dd if=/dev/zero of=/dev/mapper/g bs=4k count=1 oflag=direct status=none";
        let mut running = guest.command(["/bin/sh", "-c", write]).spawn()?;
        running.wait_for_text("begun", Duration::from_secs(30))?;
        waits_for(guest, 1)?;
        script(guest, "simctl remove 0 --force; dmsetup message g 0 open")?;
        let ended = running.wait()?;
        assert_eq!(ended.status.code(), 1);
        assert!(ended.stderr_text().contains("Input/output error"), "{}", ended.stderr_text());
        assert_eq!(guest.check("dmsetup status g")?.trim(), "0 65536 gate open 0 1 1");
        script(guest, "udevadm settle; dmsetup remove --retry g; rmmod dm_gate; rmmod simblk").map(drop)
    });
}

#[test]
fn fio_verifies_through_a_gate_that_opens_and_shuts() {
    with_modules(&["simblk", "dm_gate"], |guest| {
        script(
            guest,
            &format!(
                "{MADE}
                 fio --name=v --filename=/dev/mapper/g --rw=randwrite --bsrange=512-64k --size=4m --direct=1 \
                     --ioengine=libaio --iodepth=32 --fsync=8 --verify=crc32c --verify_fatal=1 --output=/tmp/log & fio=$!
                 while kill -0 $fio 2>/dev/null; do
                     for what in reads writes flushes all; do
                         dmsetup message g 0 shut $what; dmsetup message g 0 open
                     done
                 done
                 wait $fio || {{ cat /tmp/log; exit 1; }}
                 udevadm settle; dmsetup remove --retry g; rmmod dm_gate; rmmod simblk"
            ),
        )
        .map(drop)
    });
}
