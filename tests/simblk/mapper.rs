// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user program takes part in each I/O, and its faults harm nobody. (What it maps is tested in `tests/client`.)

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
