// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user program's part in each I/O, step by step, and how it ends.

use blockyard_tests::with_simblk;

use crate::{fails, mapper};

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

/// Reads the first 16 KiB at once, past the page cache.
const READ: &str = "dd if=/dev/simblk0 of=/dev/null bs=16k count=1 iflag=direct status=none";

#[test]
fn each_step_shows_what_it_got() {
    with_simblk("disks=1", |guest| {
        assert!(guest.check("simctl register")?.contains("mapper of simblk0: 8192 pages of 4096 bytes"));
        for (command, shows) in [
            ("reqsize", "16384 bytes in 4 pages"),
            ("getblk", "read sectors 8+8: logical page 1 is physical page 1"),
            ("setblk --policy shift=3", "answered by shift=3: page 0 on 3, 1 on 4, 2 on 5, 3 on 6; done"),
            ("io 1 -v", "read 16384 bytes, page 0 on 0, 1 on 1, 2 on 2, 3 on 3; done"),
        ] {
            let running = mapper(guest, command)?;
            guest.check(READ)?;
            let output = running.wait()?;
            assert!(output.status.success(), "{command}: {}", output.stderr_text());
            assert!(output.stdout_text().contains(shows), "{command}: {}", output.stdout_text());
        }
        Ok(())
    });
}

#[test]
fn what_is_written_under_a_mapping_is_read_back_only_under_it() {
    with_simblk("disks=1", |guest| {
        guest.check("head -c 16384 /dev/urandom > /tmp/data")?;
        let running = mapper(guest, "io 0 --policy shift=16")?;
        guest.check("dd if=/tmp/data of=/dev/simblk0 bs=4k oflag=direct status=none")?;
        guest.check("dd if=/dev/simblk0 bs=16k count=1 iflag=direct status=none | cmp - /tmp/data")?;
        running.signal(SIGINT)?;
        assert!(running.wait()?.status.success(), "Ctrl-C is how `io 0` ends");
        guest
            .check("dd if=/dev/simblk0 bs=16k count=1 iflag=direct status=none | cmp -n 16384 - /dev/zero")?;
        guest.check(
            "dd if=/dev/simblk0 bs=64k skip=1 count=1 iflag=direct status=none | cmp -n 16384 - /tmp/data",
        )?;
        Ok(())
    });
}

#[test]
fn a_disk_has_one_mapper() {
    with_simblk("disks=2", |guest| {
        let first = mapper(guest, "io 1 --disk 0")?;
        fails(guest, "simctl register --disk 0", 6, "has a mapping program already")?;
        guest.check("simctl register --disk 1")?;
        guest.check(READ)?;
        assert!(first.wait()?.status.success());
        guest.check("simctl register --disk 0").map(drop)
    });
}

#[test]
fn ctrl_c_ends_each_wait() {
    with_simblk("disks=1", |guest| {
        for (command, code) in
            [("reqsize", 130), ("getblk", 130), ("setblk", 130), ("io 5", 130), ("io 0", 0)]
        {
            let running = mapper(guest, command)?;
            running.signal(SIGINT)?;
            assert_eq!(running.wait()?.status.code(), code, "{command}");
        }
        Ok(())
    });
}

#[test]
fn a_program_that_stops_or_dies_holds_nothing_up() {
    with_simblk("disks=1", |guest| {
        let stopped = mapper(guest, "io 0 --timeout 200")?;
        stopped.signal(SIGSTOP)?;
        guest.check(READ)?;
        stopped.signal(SIGCONT)?;
        let output = stopped.wait()?;
        assert_eq!(output.status.code(), 7, "{}", output.stderr_text());
        assert!(output.stderr_text().contains("no answer came in time"), "{}", output.stderr_text());

        // With a minute to answer, nothing but its death lets the request go on.
        let killed = mapper(guest, "io 0 --timeout 60000")?;
        killed.signal(SIGSTOP)?;
        let reader = guest.command(["/bin/sh", "-c", READ]).spawn()?;
        guest.check("timeout 60 sh -c 'until simctl info 0 | grep -q \"held requests: 1\"; do :; done'")?;
        killed.signal(SIGKILL)?;
        assert!(reader.wait()?.status.success());
        assert_eq!(killed.wait()?.status.code(), 128 + SIGKILL);
        guest.check("simctl info 0 | grep -q 'mapper: *no'").map(drop)
    });
}

#[test]
fn a_disk_that_is_removed_ends_its_mapper() {
    with_simblk("disks=1", |guest| {
        let running = mapper(guest, "io 0")?;
        guest.check("simctl remove 0 --force")?;
        let output = running.wait()?;
        assert_eq!(output.status.code(), 5, "{}", output.stderr_text());
        assert!(output.stderr_text().contains("simblk0 was removed"), "{}", output.stderr_text());
        Ok(())
    });
}
