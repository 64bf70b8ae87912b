// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sysobj`: an object in sysfs with attributes, and the events that tell of their changes.

use blockyard_lab::{Guest, Result, klog::Allow};
use blockyard_tests::{machine, on_guest, repeated, run};

use crate::twin;

const INT: &str = "/sys/kernel/sysobj/int";
const TEXT: &str = "/sys/kernel/sysobj/text";
const CHANGES: &str = "/sys/kernel/sysobj/statistics/changes";

/// From here on the real udevd notes each event of the subsystem in `/run/seen`.
fn note_events(guest: &Guest) -> Result<()> {
    guest.check("mkdir -p /run/udev/rules.d")?;
    guest.write("/run/note", "#!/bin/sh\necho $ACTION $DEVPATH $ATTRIBUTE >>/run/seen\n")?;
    guest.write("/run/udev/rules.d/90-note.rules", "SUBSYSTEM==\"sysobj\", RUN+=\"/run/note\"\n")?;
    guest.check("chmod +x /run/note && : >/run/seen && udevadm control --reload").map(drop)
}

/// The events since the last time.
fn events(guest: &Guest) -> Result<Vec<String>> {
    let seen = guest.check("udevadm settle --timeout=60 && cat /run/seen && : >/run/seen")?;
    Ok(seen.lines().map(|line| line.trim().to_owned()).collect())
}

#[test]
fn attributes_keep_what_is_right_and_udev_hears_of_changes() {
    on_guest(|guest| {
        for field in ["author", "description", "license", "version"] {
            assert_ne!(guest.check(&format!("modinfo -F {field} sysobj"))?.trim(), "", "{field}");
        }
        note_events(guest)?;
        guest.load("sysobj", "")?;
        assert_eq!(events(guest)?, ["add /kernel/sysobj", "add /kernel/sysobj/statistics"]);
        assert_eq!(guest.check(&format!("stat -c %a {INT} {TEXT} {CHANGES}"))?, "644\n644\n444\n");
        assert_eq!(guest.check(&format!("cat {INT} {TEXT} {CHANGES}"))?, "0\n\n0\n");

        for (written, read) in [("42", "42"), (" -7 ", "-7"), ("0x10", "16"), ("-2147483648", "-2147483648")]
        {
            guest.check(&format!("echo '{written}' >{INT}"))?;
            assert_eq!(guest.check(&format!("cat {INT}"))?, format!("{read}\n"));
        }
        assert_eq!(events(guest)?, ["change /kernel/sysobj int"; 4]);
        guest.check(&format!("echo -2147483648 >{INT}"))?;
        guest.check(&format!("echo 'some text' >{TEXT} && echo 'some text' >{TEXT}"))?;
        assert_eq!(events(guest)?, ["change /kernel/sysobj text"], "what is there already is no change");
        assert_eq!(guest.check(&format!("cat {TEXT} {CHANGES}"))?, "some text\n5\n");

        let long = "x".repeat(65);
        for (file, wrong) in [
            (INT, "2147483648"),
            (INT, "-2147483649"),
            (INT, "99999999999999999999"),
            (INT, "one"),
            (INT, "1 2"),
            (INT, ""),
            (TEXT, &long),
            (TEXT, "two\\nlines"),
            (TEXT, "bell\\a"),
        ] {
            let tried = guest.exec(&format!("printf '%b\\n' '{wrong}' | dd of={file} status=none"))?;
            assert!(tried.stderr_text().contains("Invalid argument"), "{wrong}: {}", tried.stderr_text());
        }
        let tried = guest.exec(&format!("setpriv --reuid 1000 --clear-groups dd of={INT} </dev/null"))?;
        assert!(tried.stderr_text().contains("Permission denied"), "{}", tried.stderr_text());
        assert_eq!(guest.check(&format!("cat {INT} {TEXT} {CHANGES}"))?, "-2147483648\nsome text\n5\n");
        assert_eq!(guest.check(&format!("printf '%64s' y | tr ' ' x >{TEXT}; wc -c <{TEXT}"))?, "65\n");
        events(guest)?;
        guest.unload("sysobj")?;
        assert_eq!(events(guest)?, ["remove /kernel/sysobj/statistics", "remove /kernel/sysobj"]);
        Ok(())
    });
}

#[test]
fn attributes_that_are_open_do_not_keep_the_module_and_then_give_enodev() {
    on_guest(|guest| {
        guest.load("sysobj", "")?;
        guest.check(&format!(
            "exec 3<{INT} 4>{TEXT} 5<{CHANGES} && rmmod sysobj || exit 1
             ! test -e /sys/kernel/sysobj || exit 1
             for fd in 3 5; do
                 ! dd count=1 status=none <&$fd 2>/tmp/read && grep 'No such device' /tmp/read || exit 1
             done
             ! echo 1 | dd status=none >&4 2>/tmp/write && grep 'No such device' /tmp/write || exit 1
             insmod $(modinfo -n sysobj) && echo 5 >{INT} || exit 1
             ! dd count=1 status=none <&3 2>/tmp/read; exec 3<&- 4>&- 5<&-; grep 5 {INT} && rmmod sysobj"
        ))?;
        Ok(())
    });
}

#[test]
fn an_object_whose_name_is_taken_is_an_error_and_nothing_stays() {
    run(machine().allow_log(Allow::new("duplicate-name").unwrap()), |guest| {
        guest.load("sysobj", "")?;
        let twin = twin::push(guest, "sysobj")?;
        let tried = guest.exec(&format!("insmod {twin}"))?;
        // The loader makes that of `EEXIST`, which it has for a module that is loaded already.
        assert!(tried.stderr_text().contains("resource busy"), "{}", tried.stderr_text());
        guest.check(&format!("echo 3 >{INT} && grep 3 {INT}"))?;
        guest.unload("sysobj")?;
        guest.check(&format!("insmod {twin} && grep 0 {INT} && rmmod {}", twin::NAME)).map(drop)
    });
}

repeated!(loads_and_unloads_some_under_readers_and_writers, 5, 180);

fn loads_and_unloads_some_under_readers_and_writers(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "(until test -e /tmp/over; do cat {INT} {TEXT} {CHANGES}; done) >/dev/null 2>&1 & a=$!
             (until test -e /tmp/over; do echo 1 >{INT}; echo x >{TEXT}; done) 2>/dev/null & b=$!
             ko=$(modinfo -n sysobj)
             for i in $(seq 10); do
                 insmod $ko && head -c 1 {INT} && rmmod sysobj || exit 1
             done
             touch /tmp/over; wait $a $b
             for i in $(seq {times}); do
                 insmod $ko && rmmod sysobj || exit 1
             done
             udevadm settle --timeout=120; ! test -e /sys/kernel/sysobj"
        ))?;
        Ok(())
    });
}
