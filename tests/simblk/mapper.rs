// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user program takes part in each I/O: what it maps is what is read, and its faults harm nobody.

use std::time::Duration;

use blockyard_lab::guest::Running;
use blockyard_lab::{Guest, Result};
use blockyard_tests::with_simblk;

const READY: Duration = Duration::from_secs(10);

/// Starts `simctl` as the mapper of disk 0 and waits until it is registered.
fn mapper<'a>(guest: &'a Guest, args: &str) -> Result<Running<'a>> {
    let mut running = guest.command(["simctl"].into_iter().chain(args.split_whitespace())).spawn()?;
    running.wait_for_text("mapper of simblk0", READY)?;
    Ok(running)
}

/// Whether page `n` of the disk holds `/tmp/page`.
fn page_is(guest: &Guest, n: u32) -> Result<bool> {
    let line =
        format!("dd if=/dev/simblk0 bs=4k skip={n} count=1 iflag=direct status=none | cmp -s - /tmp/page");
    Ok(guest.exec(&line)?.status.success())
}

#[test]
fn what_was_written_under_a_mapping_is_read_back_only_under_it() {
    with_simblk("", |guest| {
        guest.check("head -c 4096 /dev/urandom >/tmp/page")?;
        let shifting = mapper(guest, "io 0 --policy shift=16")?;
        guest.check("dd if=/tmp/page of=/dev/simblk0 bs=4k count=1 oflag=direct status=none")?;
        assert!(page_is(guest, 0)?, "under the mapping it is not page 0");
        shifting.signal(2)?;
        shifting.wait()?;
        assert!(!page_is(guest, 0)?, "it is page 0 without the mapping");
        assert!(page_is(guest, 16)?, "it is not in physical page 16");
        let again = mapper(guest, "io 0 --policy shift=16")?;
        assert!(page_is(guest, 0)?, "it is not page 0 under the same mapping");
        again.signal(2)?;
        again.wait().map(drop)
    });
}

#[test]
fn every_policy_passes_fios_verify() {
    with_simblk("size_mb=8", |guest| {
        for policy in ["identity", "shift=100", "random=42", "log"] {
            guest.check("blkdiscard -f /dev/simblk0")?;
            let serving = mapper(guest, &format!("io 0 --policy {policy}"))?;
            guest.check(
                "fio --name=v --filename=/dev/simblk0 --rw=randwrite --bsrange=512-64k --size=4m --ioengine=libaio \
                 --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1",
            )?;
            serving.signal(2)?;
            serving.wait()?;
        }
        Ok(())
    });
}

#[test]
fn a_second_mapper_is_told_that_there_is_one() {
    with_simblk("", |guest| {
        let first = mapper(guest, "io 0")?;
        assert_eq!(guest.exec("simctl register")?.status.code(), 6);
        first.signal(2)?;
        first.wait()?;
        guest.check("simctl register").map(drop)
    });
}

#[test]
fn the_program_may_die_and_its_requests_go_on() {
    with_simblk("", |guest| {
        guest.check("head -c 4096 /dev/urandom >/tmp/page")?;
        // It has fetched a request, and never answers.
        let silent = mapper(guest, "reqsize --timeout 60000")?;
        let write = guest
            .command([
                "/bin/sh",
                "-c",
                "dd if=/tmp/page of=/dev/simblk0 bs=4k count=1 oflag=direct status=none",
            ])
            .spawn()?;
        silent.wait()?;
        assert!(write.wait()?.status.success());
        assert!(page_is(guest, 0)?);
        let killed = mapper(guest, "io 0 --policy shift=5")?;
        killed.signal(9)?;
        killed.wait()?;
        assert!(page_is(guest, 0)?, "not the identity mapping after a kill");
        Ok(())
    });
}

#[test]
fn a_program_that_does_not_answer_in_time_is_passed_over_once_and_logged_once() {
    with_simblk("", |guest| {
        let stuck = mapper(guest, "io 0 --timeout 300")?;
        stuck.signal(19)?;
        guest.check("dd if=/dev/zero of=/dev/simblk0 bs=4k count=8 oflag=direct status=none")?;
        let lines = guest.check("dmesg | grep -c 'simblk: simblk0: .*identity' || true")?;
        assert_eq!(lines.trim(), "1", "{}", guest.check("dmesg | grep simblk")?);
        stuck.signal(18)?;
        assert_ne!(stuck.wait()?.status.code(), 0, "it was not told that its registration has lapsed");
        Ok(())
    });
}

#[test]
fn a_signal_ends_the_wait_for_a_request() {
    with_simblk("", |guest| {
        let waiting = mapper(guest, "reqsize")?;
        waiting.signal(15)?;
        assert_eq!(waiting.wait()?.status.code(), 130);
        Ok(())
    });
}

#[test]
fn each_call_stands_alone() {
    with_simblk("", |guest| {
        for (call, wanted) in [
            ("reqsize", "8192 bytes in 2 pages"),
            ("getblk", "logical page 1 is physical page 1"),
            ("setblk", "answered by identity"),
        ] {
            let stepping = mapper(guest, call)?;
            guest.check("dd if=/dev/zero of=/dev/simblk0 bs=8k count=1 oflag=direct status=none")?;
            let said = stepping.wait()?;
            assert!(said.status.success(), "{call}: {}", said.stderr_text());
            assert!(said.stdout_text().contains(wanted), "{call}: {}", said.stdout_text());
        }
        Ok(())
    });
}

#[test]
fn a_discard_takes_nothing_away_while_a_program_maps() {
    with_simblk("", |guest| {
        guest.check("head -c 4096 /dev/urandom >/tmp/page && dd if=/tmp/page of=/dev/simblk0 bs=4k oflag=direct status=none")?;
        let serving = mapper(guest, "io 0")?;
        // The kernel hides EOPNOTSUPP from blkdiscard: a discard is a hint. Zeroing is none, and falls back to writing.
        guest.check("blkdiscard -f /dev/simblk0 2>/dev/null")?;
        assert!(page_is(guest, 0)?, "a discard went past the mapping");
        guest.check("blkdiscard -z -f /dev/simblk0 2>/dev/null && cmp -n 33554432 /dev/simblk0 /dev/zero")?;
        serving.signal(2)?;
        serving.wait().map(drop)
    });
}

#[test]
fn a_file_system_lives_under_a_log_structured_mapping() {
    with_simblk("", |guest| {
        let serving = mapper(guest, "io 0 --policy log")?;
        guest.check(
            "mkfs.ext4 -q /dev/simblk0 && mkdir -p /mnt/a && mount /dev/simblk0 /mnt/a
             head -c 3000000 /dev/urandom >/tmp/f && cp /tmp/f /mnt/a/ && umount /mnt/a
             mount /dev/simblk0 /mnt/a && cmp /tmp/f /mnt/a/f && umount /mnt/a && fsck.ext4 -f -n /dev/simblk0",
        )?;
        serving.signal(2)?;
        serving.wait().map(drop)
    });
}
