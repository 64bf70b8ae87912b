// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver comes, and messages go there and back.

use blockyard_lab::Result;
use blockyard_lab::{Device, Guest};
use blockyard_tests::{machine, run};

use super::{ECHO, FACTS, wait_for_files, with_device};

/// Sends `count` messages and has each compared.
fn many(guest: &Guest, count: u64, length: usize, window: u64) -> Result<()> {
    let said = guest.check(&format!("/tmp/chrtest echo-many {ECHO} {count} {length} {window}"))?;
    assert!(said.starts_with(&format!("{count} messages of {length} bytes")), "{said}");
    Ok(())
}

#[test]
fn the_driver_comes_with_its_device_and_tells_what_that_is_like() {
    let machine =
        machine().device(Device::new("hello,max-message=5000,capacity=128K")).device(Device::new("hello"));
    run(machine, |guest| {
        // Nobody loads it but udev, by the device's id.
        wait_for_files(guest)?;
        guest.check("udevadm wait --timeout=120 /dev/virtio_hello1-echo")?;
        let aliases = guest.check("modinfo -F alias virtio_hello; modinfo -F depends virtio_hello")?;
        assert_eq!(aliases, "virtio:d00000023v*\n\n");
        let facts = |facts: &str| {
            guest.check(&format!("cd {facts} && cat version max_message capacity offered agreed"))
        };
        // Which of the two has which number is udev's to say.
        let second = FACTS.replace("hello0", "hello1");
        let mut both = [facts(FACTS)?, facts(&second)?];
        both.sort();
        assert_eq!(both[0], "1\n1048576\n65536\nchecksum reverse events\nchecksum reverse events\n");
        assert_eq!(both[1], "1\n5000\n131072\nchecksum reverse events\nchecksum reverse events\n");
        guest
            .check("test \"$(stat -c %a:%F /dev/virtio_hello?-*|sort -u)\" = '600:character special file'")?;
        assert_eq!(
            guest.check("chrctl echo 'hello, yard'; chrctl echo --reverse drawkcab")?,
            "hello, yard\nbackward\n"
        );
        let other = "chrctl echo --device /dev/virtio_hello1-echo 'hello, you'";
        assert_eq!(guest.check(other)?, "hello, you\n");
        // Its files go with the driver, and come again.
        guest.check("rmmod virtio_hello && udevadm settle && test ! -e /sys/class/virtio_hello && ! ls /dev/virtio_hello* 2>/dev/null")?;
        let said = guest.exec("chrctl echo hello")?;
        assert_eq!((said.status.code(), said.stderr_text().contains("modprobe virtio_hello")), (3, true));
        guest.check("modprobe virtio_hello")?;
        wait_for_files(guest)?;
        guest.check("chrctl echo again").map(drop)
    });
}

#[test]
fn messages_of_every_length_come_back_whatever_pieces_they_go_in() {
    with_device("hello", |guest| {
        let said = guest.check(&format!("/tmp/chrtest echo-splits {ECHO} 1048576"))?;
        // 1 + 4 + .. + 400 small ones, and 14 lengths in 8 times 8 pieces.
        assert_eq!(said, format!("{} messages came back\n", 2870 + 14 * 64));
        let counters = guest.device("hello0")?.counters()?;
        assert_eq!((counters["hello.echoes"], counters["hello.refused"]), (2870 + 14 * 64, 0));
        Ok(())
    });
}

#[test]
fn messages_of_every_length_come_back_through_the_shortest_queue() {
    with_device("hello,queue-size=4,max-message=100000", |guest| {
        guest.check(&format!("/tmp/chrtest echo-splits {ECHO} 100000"))?;
        many(guest, 2000, 500, 16)
    });
}

#[test]
fn messages_are_many_and_each_file_has_its_own() {
    with_device("hello", |guest| {
        many(guest, 5000, 1, 1)?;
        many(guest, 5000, 1000, 16)?;
        many(guest, 100, 200_000, 16)?;
        guest.check(&format!("/tmp/chrtest echo-openers {ECHO} 8 100"))?;
        // Whoever has a file open keeps the driver.
        let said = guest.exec(&format!("exec 3<>{ECHO}; rmmod virtio_hello"))?;
        assert!(said.stderr_text().contains("in use"), "{}", said.stderr_text());
        // Messages that nobody reads go with their file, and the driver with the last.
        guest
            .check(&format!("exec 3<>{ECHO}; echo one >&3; echo two >&3; exec 3<&-; rmmod virtio_hello"))
            .map(drop)
    });
}

#[test]
#[ignore = "takes minutes"]
fn a_million_messages_come_back() {
    with_device("hello", |guest| many(guest, 1_000_000, 64, 16));
}

#[test]
fn wrong_calls_get_the_error_that_is_documented() {
    with_device("hello", |guest| {
        let said = guest.check(&format!("/tmp/chrtest bad-echo {ECHO}"))?;
        let expected = "\
unknown number: ENOTTY
unknown operation: EINVAL
reserved: EINVAL
set at null: EFAULT
set across: EFAULT
get into read-only: EFAULT
empty: ok
too long: EMSGSIZE
nothing to read: EAGAIN
one too many: EAGAIN
";
        assert_eq!(said, expected);
        Ok(())
    });
}
