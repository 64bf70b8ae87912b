// SPDX-License-Identifier: MIT OR Apache-2.0
//! `chardev`: a device node that comes and goes with the module, one opener at a time.

use blockyard_lab::{Guest, Result, programs};
use blockyard_tests::{on_guest, repeated};

/// Loads the module; returns once udev has done its part.
fn load(guest: &Guest) -> Result<()> {
    guest.load("chardev", "")?;
    guest.check("udevadm settle --timeout=60").map(drop)
}

/// What of the device is left to be seen.
fn is_gone(guest: &Guest) -> Result<()> {
    guest.check("udevadm settle --timeout=60")?;
    guest
        .check("! test -e /dev/chardev && ! test -e /sys/class/chardev && ! grep -w chardev /proc/devices")
        .map(drop)
}

#[test]
fn the_driver_makes_a_class_and_a_node_and_takes_them_away() {
    on_guest(|guest| {
        for field in ["author", "description", "license", "version"] {
            let value = guest.check(&format!("modinfo -F {field} chardev"))?;
            assert!(!value.trim().is_empty(), "modinfo has no {field}");
        }
        assert_eq!(guest.check("modinfo -F depends chardev")?.trim(), "");
        load(guest)?;
        let major = guest.check("awk '$2 == \"chardev\" { print $1 }' /proc/devices")?;
        assert_eq!(guest.check("stat -c '%F %a %U %Hr:%Lr' /dev/chardev")?.trim(), {
            format!("character special file 600 root {}:0", major.trim())
        });
        assert_eq!(guest.check("cat /sys/class/chardev/chardev/dev")?, format!("{}:0\n", major.trim()));
        let log = guest.check("dmesg")?;
        assert!(log.contains(&format!("chardev: loaded: major {}", major.trim())), "{log}");
        guest.unload("chardev")?;
        is_gone(guest)
    });
}

#[test]
fn a_udev_rule_runs_a_script_when_the_device_appears() {
    on_guest(|guest| {
        guest.check(
            r#"set -e
mkdir -p /usr/local/bin /etc/udev/rules.d
cat >/usr/local/bin/seen <<'END'
#!/bin/sh
echo "$ACTION $DEVNAME $MAJOR:$MINOR $SUBSYSTEM" >>/run/seen
END
chmod 755 /usr/local/bin/seen
echo 'KERNEL=="chardev", SUBSYSTEM=="chardev", MODE="0644", RUN+="/usr/local/bin/seen"' >/etc/udev/rules.d/99-chardev.rules
udevadm control --reload"#,
        )?;
        load(guest)?;
        let major = guest.check("awk '$2 == \"chardev\" { print $1 }' /proc/devices")?;
        let event = |action: &str| format!("{action} /dev/chardev {}:0 chardev\n", major.trim());
        assert_eq!(guest.check("cat /run/seen")?, event("add"));
        assert_eq!(guest.check("stat -c %a /dev/chardev")?.trim(), "644", "a rule decides who may open it");
        guest.unload("chardev")?;
        guest.check("udevadm settle --timeout=60")?;
        assert_eq!(guest.check("cat /run/seen")?, event("add") + &event("remove"));
        Ok(())
    });
}

#[test]
fn a_read_session_tells_how_often_it_was_opened_and_then_ends() {
    on_guest(|guest| {
        load(guest)?;
        assert_eq!(guest.check("cat /dev/chardev")?, "opened 1 time\n");
        assert_eq!(guest.check("cat /dev/chardev")?, "opened 2 times\n");
        // In pieces: each read goes on where the last one ended.
        assert_eq!(guest.check("dd if=/dev/chardev bs=4 status=none")?, "opened 3 times\n");
        // Short: two reads of four bytes, and the rest is left.
        assert_eq!(guest.check("dd if=/dev/chardev bs=4 count=2 status=none")?, "opened 4");
        assert_eq!(guest.check("dd if=/dev/chardev bs=1 skip=7 count=1 status=none")?, "5");
        // The end stays the end, also for the next program on the same open file.
        let twice = "exec 3</dev/chardev; cat <&3; cat <&3; echo end";
        assert_eq!(guest.check(twice)?, "opened 6 times\nend\n");
        guest.push(&programs::ensure()?.chrtest(), "/tmp/chrtest")?;
        let expected = "\
end: 15
read at the end: 0
from 7: 7 times
at 0: opened
position after that: 15
far behind: 0
seek behind the end: EINVAL
seek before the beginning: EINVAL
";
        assert_eq!(guest.check("/tmp/chrtest seek /dev/chardev")?, expected);
        Ok(())
    });
}

#[test]
fn one_opener_at_a_time_nobody_writes_and_the_module_stays_while_it_is_open() {
    on_guest(|guest| {
        load(guest)?;
        let refused = guest.exec("exec 3</dev/chardev; cat /dev/chardev")?;
        assert!(refused.stderr_text().contains("Device or resource busy"), "{}", refused.stderr_text());
        // Being refused does not count, and leaves the door as it was.
        assert_eq!(guest.check("cat /dev/chardev")?, "opened 2 times\n");
        let written = guest.exec("echo hello | dd of=/dev/chardev status=none")?;
        assert!(written.stderr_text().contains("Invalid argument"), "{}", written.stderr_text());
        let unload = guest.exec("exec 3</dev/chardev; rmmod chardev; cat <&3")?;
        assert!(unload.stderr_text().contains("in use"), "{}", unload.stderr_text());
        assert_eq!(unload.stdout_text(), "opened 4 times\n", "the file is as good as before");
        guest.unload("chardev")?;
        is_gone(guest)
    });
}

repeated!(loads_and_unloads_leave_nothing, 8, 200);

fn loads_and_unloads_leave_nothing(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "for i in $(seq {times}); do insmod $(modinfo -n chardev) && rmmod chardev || exit 1; done"
        ))?;
        is_gone(guest)
    });
}

#[test]
fn it_can_be_unloaded_under_load() {
    on_guest(|guest| {
        for round in 0..5 {
            guest.load("chardev", "")?;
            // A node of our own, for the driver's goes with it: an old one leads nowhere, and says so.
            guest.check(
                "rm -f /tmp/node; mknod /tmp/node c $(awk '$2 == \"chardev\" { print $1 }' /proc/devices) 0",
            )?;
            let text = guest.check(
                r#"for reader in 1 2 3; do
                       while ! test -e /tmp/over; do cat /tmp/node; done >/tmp/out.$reader 2>/tmp/err.$reader &
                   done
                   until grep -q opened /tmp/out.*; do :; done
                   until rmmod chardev 2>/dev/null; do :; done
                   touch /tmp/over; wait; rm /tmp/over
                   cat /tmp/out.* | grep -vE '^opened [0-9]+ times?$'
                   cat /tmp/err.* | grep -vE 'Device or resource busy|No such device or address'; true"#,
            )?;
            assert_eq!(text, "", "round {round}: readers got something else");
        }
        is_gone(guest)
    });
}
