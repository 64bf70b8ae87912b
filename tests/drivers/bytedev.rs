// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bytedev`: reads that wait for a byte, are told not to, or are interrupted; and a byte that is repeated for ever.

use blockyard_lab::{Guest, Result, programs};
use blockyard_tests::{on_guest, repeated};

/// Runs `test` with the module loaded, and with the program that makes the calls that no shell can.
#[track_caller]
fn with_device(test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        guest.push(&programs::ensure()?.chrtest(), "/tmp/chrtest")?;
        guest.load("bytedev", "")?;
        guest.check("udevadm settle --timeout=60")?;
        test(guest)
    });
}

#[test]
fn it_repeats_the_byte_that_was_set() {
    with_device(|guest| {
        assert_eq!(
            guest.exec("chrctl byte get")?.stderr_text(),
            "chrctl: no byte is set\n        set one: chrctl byte set BYTE\n"
        );
        guest.check("chrctl byte set A")?;
        assert_eq!(guest.check("chrctl byte get; head -c 5 /dev/bytedev")?, "0x41 'A'\nAAAAA");
        guest.check("chrctl byte set 0x00")?;
        for size in [0, 1, 511, 512, 513, 4097, 10 << 20] {
            let said = guest.check(&format!("/tmp/chrtest read /dev/bytedev {size}"))?;
            let contents = if size == 0 { "none" } else { "0x00" };
            assert_eq!(said, format!("{size} bytes: {contents}\n"));
        }
        // A node that was made by hand, with the major from /proc/devices.
        guest.check("mknod /tmp/node c $(awk '$2 == \"bytedev\" { print $1 }' /proc/devices) 0")?;
        guest.check("chrctl byte --device /tmp/node set z")?;
        assert_eq!(guest.check("head -c 3 /tmp/node")?, "zzz");
        let written = guest.exec("echo hello | dd of=/dev/bytedev status=none")?;
        assert!(written.stderr_text().contains("Invalid argument"), "{}", written.stderr_text());
        Ok(())
    });
}

#[test]
fn without_a_byte_a_read_waits_or_says_that_it_would() {
    with_device(|guest| {
        let nonblock = "/tmp/chrtest read /dev/bytedev 4 --nonblock; /tmp/chrtest poll /dev/bytedev";
        assert_eq!(guest.check(nonblock)?, "EAGAIN\nnothing\n");
        assert_eq!(guest.check("/tmp/chrtest read /dev/bytedev 0 --nonblock")?, "0 bytes: none\n");
        guest.check("chrctl byte set B")?;
        assert_eq!(guest.check(nonblock)?, "4 bytes: 0x42\nPollFlags(IN)\n");
        guest.check("chrctl byte clear")?;
        assert_eq!(guest.check(nonblock)?, "EAGAIN\nnothing\n");
        // Both wait before the byte is set, and both are woken.
        assert_eq!(
            guest.check("/tmp/chrtest wake /dev/bytedev")?,
            "read: 5 bytes: 0x57\npoll: PollFlags(IN)\n"
        );
        Ok(())
    });
}

#[test]
fn signals_end_a_wait_and_a_long_read() {
    with_device(|guest| {
        assert_eq!(
            guest.check("/tmp/chrtest signals /dev/bytedev")?,
            "waiting: EINTR\nlong: part of it, 0x4c\n"
        );
        // Killing a program that waits ends it, and lets go of the module.
        guest.check("chrctl byte clear; cat /dev/bytedev & kill -9 $!; ! wait $!; rmmod bytedev")?;
        Ok(())
    });
}

#[test]
fn wrong_calls_get_the_error_that_is_documented() {
    with_device(|guest| {
        let said = guest.check("/tmp/chrtest bad-byte /dev/bytedev")?;
        let expected = "\
get without a byte: ENODATA
unknown number: ENOTTY
other size: ENOTTY
set at null: EFAULT
set: ok
get at null: EFAULT
get into read-only: EFAULT
clear: ok
seek: ESPIPE
read at a position: ESPIPE
";
        assert_eq!(said, expected);
        Ok(())
    });
}

repeated!(it_comes_and_goes_and_goes_under_load, 8, 200);

fn it_comes_and_goes_and_goes_under_load(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "for i in $(seq {times}); do insmod $(modinfo -n bytedev) && rmmod bytedev || exit 1; done
             udevadm settle --timeout=60
             ! test -e /dev/bytedev && ! test -e /sys/class/bytedev && ! grep bytedev /proc/devices"
        ))?;
        assert_eq!(guest.check("modinfo -F depends bytedev")?.trim(), "");
        guest.load("bytedev", "")?;
        let refused = guest.exec("exec 3</dev/bytedev; rmmod bytedev")?;
        assert!(refused.stderr_text().contains("in use"), "{}", refused.stderr_text());
        // Each round of a reader reads 64 KiB, and ends when the node is gone.
        guest
            .check(
                "chrctl byte set x
                 for reader in 1 2 3; do while head -c 65536 /dev/bytedev >/dev/null 2>&1; do :; done & done
                 until rmmod bytedev 2>/dev/null; do :; done; wait",
            )
            .map(drop)
    });
}
