// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device or the driver goes while both are used. Whatever waits is told, and nothing is left.

use std::io::Write;

use blockyard_lab::guest::Running;
use blockyard_lab::{Device, Guest, Result};
use blockyard_tests::repeated;

use super::{ECHO, EVENTS, LIMIT, STREAM, connect, wait_for_files, with_device, without_device};

/// Plugs a device in, and waits for its files.
fn plug(guest: &Guest) -> Result<String> {
    let name = guest.attach_device(Device::new("hello"))?;
    wait_for_files(guest)?;
    Ok(name)
}

/// Programs that use every file until that fails, and say `under way` when all of them have begun.
const LOAD: &str = "\
    rm -f /tmp/small /tmp/large /tmp/openers
    (while /tmp/chrtest echo-many /dev/virtio_hello0-echo 50 100 8; do :; done) >/tmp/small 2>&1 &
    (while /tmp/chrtest echo-many /dev/virtio_hello0-echo 5 100000 16; do :; done) >/tmp/large 2>&1 &
    (while /tmp/chrtest echo-openers /dev/virtio_hello0-echo 3 10; do :; done) >/tmp/openers 2>&1 &
    cat /dev/zero >/dev/virtio_hello0-stream 2>/tmp/written &
    cat /dev/virtio_hello0-stream >/tmp/read 2>&1 &
    cat /dev/virtio_hello0-events >/tmp/events 2>&1 &
    for log in small large openers; do until [ -s /tmp/$log ]; do :; done; done
    echo under way
    wait";

fn load(guest: &Guest) -> Result<Running<'_>> {
    let mut load = guest.command(["/bin/sh", "-c", LOAD]).spawn()?;
    load.wait_for_text("under way", LIMIT)?;
    Ok(load)
}

#[test]
fn whoever_waits_is_told_when_the_device_is_unplugged() {
    without_device(|guest| {
        let name = plug(guest)?;
        let mut waiting = Vec::new();
        for (file, options, told) in [
            (ECHO, "", "read: ENODEV\npoll: PollFlags(IN | HUP)\nthen: ENODEV\n"),
            (EVENTS, "", "read: ENODEV\npoll: PollFlags(IN | HUP)\nthen: ENODEV\n"),
            (STREAM, "--write", "read: ENODEV\npoll: PollFlags(IN | HUP)\nwrite: ENODEV\nthen: ENODEV\n"),
        ] {
            let line = format!("exec /tmp/chrtest gone {file} {options}");
            let mut program = guest.command(["/bin/sh", "-c", &line]).spawn()?;
            program.wait_for_text("waiting", LIMIT)?;
            waiting.push((file, program, told));
        }
        guest.detach_device(&name)?;
        for (file, program, told) in waiting {
            assert_eq!(program.wait()?.stdout_text(), format!("waiting\n{told}"), "{file}");
        }
        guest.check("udevadm settle && ! ls /dev/virtio_hello* 2>/dev/null && rmmod virtio_hello").map(drop)
    });
}

#[test]
fn what_has_come_before_the_device_went_can_still_be_read() {
    without_device(|guest| {
        let name = plug(guest)?;
        let line = format!(
            "exec 3<{STREAM} 4<{EVENTS}; echo open; until [ -e /tmp/gone ]; do :; done; cat <&3; echo; cat <&4"
        );
        let mut reader = guest.command(["/bin/sh", "-c", &line]).spawn()?;
        reader.wait_for_text("open", LIMIT)?;
        connect(guest, &name)?.write_all(b"last words").unwrap();
        // It is with the driver when poll says so.
        let there = |file: &str| format!("until /tmp/chrtest poll {file} | grep -q IN; do :; done");
        guest.check(&format!("{}; {}", there(STREAM), there(EVENTS)))?;
        guest.detach_device(&name)?;
        guest.check("touch /tmp/gone")?;
        let read = reader.wait()?;
        assert!(read.stdout_text().starts_with("open\nlast words\nopened 1\n"), "{}", read.stdout_text());
        assert_eq!(read.stderr_text().matches("No such device").count(), 2, "{}", read.stderr_text());
        Ok(())
    });
}

repeated!(a_device_is_unplugged_under_load, 2, 100);

fn a_device_is_unplugged_under_load(times: u32) {
    without_device(|guest| {
        for _ in 0..times {
            let name = plug(guest)?;
            let load = load(guest)?;
            guest.detach_device(&name)?;
            load.wait()?;
            guest.check("cat /tmp/small /tmp/large /tmp/openers | grep -q 'No such device\\|no device'")?;
            guest.check("grep -q 'No such device' /tmp/written && grep -q 'No such device' /tmp/read")?;
        }
        guest.check("rmmod virtio_hello").map(drop)
    });
}

repeated!(the_driver_is_reloaded_under_load, 2, 20);

fn the_driver_is_reloaded_under_load(times: u32) {
    with_device("hello", |guest| {
        for _ in 0..times {
            let load = load(guest)?;
            guest.check("! rmmod virtio_hello 2>/tmp/err && grep 'in use' /tmp/err")?;
            // It is taken from its device while that is used; then nothing holds it but who has a file open.
            guest.check(
                "cd /sys/bus/virtio/drivers/virtio_hello && for device in virtio*; do echo $device >unbind; done",
            )?;
            load.wait()?;
            guest.check("rmmod virtio_hello && modprobe virtio_hello")?;
            wait_for_files(guest)?;
            guest.check("chrctl echo again")?;
        }
        // Also with somebody always about to open it.
        guest
            .check(
                "(while [ ! -e /tmp/enough ]; do chrctl echo x; done) >/dev/null 2>&1 &
                 for i in $(seq 8); do
                     until rmmod virtio_hello 2>/dev/null; do :; done; modprobe virtio_hello || exit 1
                 done
                 touch /tmp/enough; wait",
            )
            .map(drop)
    });
}
