// SPDX-License-Identifier: MIT OR Apache-2.0
//! `chardev_ioctl`: a message that is set and told by ioctl, with the program that does.

use blockyard_lab::{Guest, Result, programs};
use blockyard_tests::{on_guest, repeated};

/// Runs `test` with the module loaded, and with the program that makes calls no honest program makes.
#[track_caller]
fn with_device(test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        guest.push(&programs::ensure()?.chrtest(), "/tmp/chrtest")?;
        guest.load("chardev_ioctl", "")?;
        guest.check("udevadm settle --timeout=60")?;
        test(guest)
    });
}

/// Runs a command that must fail with this code and say this on standard error.
#[track_caller]
fn fails(guest: &Guest, line: &str, code: i32, says: &str) -> Result<()> {
    let output = guest.exec(line)?;
    assert_eq!(output.status.code(), code, "`{line}`: {}", output.stderr_text());
    assert!(output.stderr_text().contains(says), "`{line}` does not say {says:?}: {}", output.stderr_text());
    Ok(())
}

#[test]
fn the_program_sets_and_gets_the_message_and_its_bytes() {
    with_device(|guest| {
        assert_eq!(
            guest.check("stat -c '%F %Hr:%Lr' /dev/chardev_ioctl")?.trim(),
            "character special file 120:0"
        );
        assert_eq!(guest.check("chrctl message get")?, "\n", "empty at first");
        guest.check("chrctl message set 'hello there'")?;
        assert_eq!(guest.check("chrctl message get")?, "hello there\n");
        assert_eq!(guest.check("chrctl message byte 10")?, "0x65 'e'\n");
        fails(guest, "chrctl message byte 11", 1, "the message has no byte 11")?;
        // A shorter one leaves nothing of the longer one behind.
        guest.check("chrctl message set hi")?;
        assert_eq!(guest.check("chrctl message get; chrctl message byte 1")?, "hi\n0x69 'i'\n");
        fails(guest, "chrctl message byte 2", 1, "no byte 2")?;
        guest.check("chrctl message set $(printf %252s | tr ' ' x)")?;
        assert_eq!(guest.check("chrctl message get | tr -d '\\n' | wc -c")?.trim(), "252");
        fails(
            guest,
            "chrctl message set $(printf %253s | tr ' ' y)",
            1,
            "at most 252 bytes, and this one 253",
        )?;
        assert_eq!(guest.check("chrctl message byte 251")?, "0x78 'x'\n", "the old one stays");
        // The number is the same on every machine: a node that was made by hand is as good.
        guest.check("mknod /tmp/node c 120 0 && chrctl message --device /tmp/node set 'by hand'")?;
        assert_eq!(guest.check("chrctl message get")?, "by hand\n");
        fails(guest, "chrctl message --device /dev/null get", 1, "/dev/null is no device of this driver")?;
        guest.unload("chardev_ioctl")?;
        fails(guest, "chrctl message get", 3, "modprobe chardev_ioctl")?;
        fails(guest, "chrctl message --device /tmp/node get", 3, "no device behind /tmp/node")
    });
}

#[test]
fn wrong_calls_get_the_error_that_is_documented() {
    with_device(|guest| {
        let said = guest.check("/tmp/chrtest bad-message /dev/chardev_ioctl")?;
        let expected = "\
unknown number: ENOTTY
other type: ENOTTY
other size: ENOTTY
other direction: ENOTTY
set at null: EFAULT
get at null: EFAULT
byte at null: EFAULT
set at kernel: EFAULT
get at kernel: EFAULT
byte at kernel: EFAULT
set at across: EFAULT
get at across: EFAULT
byte at across: EFAULT
get into read-only: EFAULT
too long by one: EMSGSIZE
too long by far: EMSGSIZE
set: ok
last byte: ok
byte after the last: ERANGE
byte far behind: ERANGE
reserved field: EINVAL
";
        assert_eq!(said, expected);
        assert_eq!(guest.check("chrctl message get")?, "good\n");
        let read = guest.exec("cat /dev/chardev_ioctl")?;
        assert!(read.stderr_text().contains("Invalid argument"), "{}", read.stderr_text());
        Ok(())
    });
}

#[test]
fn two_programs_at_once_never_see_half_a_message() {
    with_device(|guest| {
        // So often, because it is needed: a driver that gave up its lock between two halves was seen through after some
        // thousand messages, and never within 2000.
        let said = guest.check(
            "/tmp/chrtest repeat /dev/chardev_ioctl a 252 & first=$!
             /tmp/chrtest repeat /dev/chardev_ioctl b 97 & second=$!
             /tmp/chrtest uniform /dev/chardev_ioctl 20000 & reader=$!
             /tmp/chrtest uniform /dev/chardev_ioctl 20000; status=$?
             wait $reader || status=$?
             kill $first $second && exit $status",
        )?;
        assert_eq!(said, "a x 252\nb x 97\n".repeat(2));
        Ok(())
    });
}

repeated!(loading_leaves_nothing_and_goes_under_load, 8, 200);

fn loading_leaves_nothing_and_goes_under_load(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "for i in $(seq {times}); do insmod $(modinfo -n chardev_ioctl) && rmmod chardev_ioctl || exit 1; done
             udevadm settle --timeout=60
             ! test -e /dev/chardev_ioctl && ! test -e /sys/class/chardev_ioctl && ! grep chardev_ioctl /proc/devices"
        ))?;
        assert_eq!(guest.check("modinfo -F depends chardev_ioctl")?.trim(), "");
        // Open, it stays; and under calls it goes as soon as nobody has it open.
        guest.push(&programs::ensure()?.chrtest(), "/tmp/chrtest")?;
        guest.load("chardev_ioctl", "")?;
        let refused = guest.exec("exec 3</dev/chardev_ioctl; rmmod chardev_ioctl")?;
        assert!(refused.stderr_text().contains("in use"), "{}", refused.stderr_text());
        guest
            .check(
                "for program in 1 2; do while chrctl message set $program 2>/dev/null; do :; done & done
                 until test -n \"$(chrctl message get)\"; do :; done
                 until rmmod chardev_ioctl 2>/dev/null; do :; done; wait",
            )
            .map(drop)
    });
}
