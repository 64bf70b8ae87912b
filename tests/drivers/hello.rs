// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hello`: its lines in the log, and what becomes of each kind of parameter, right and wrong.

use blockyard_lab::{Guest, Result};
use blockyard_tests::{on_guest, repeated};

/// Loads the module with these parameters, as in a modprobe's configuration, and unloads it; gives what the log has of it.
fn logged(guest: &Guest, params: &str) -> Result<String> {
    guest.check("dmesg -C")?;
    guest.load("hello", params)?;
    guest.unload("hello")?;
    // The first load of a guest taints the kernel, which says so under the module's name.
    guest.check("dmesg --notime | grep '^hello: ' | grep -v 'taints kernel'")
}

/// A parameter as sysfs shows it.
fn shown(guest: &Guest, name: &str) -> Result<String> {
    guest.check(&format!("cat /sys/module/hello/parameters/{name}"))
}

#[test]
fn modinfo_tells_of_each_parameter_with_its_type() {
    on_guest(|guest| {
        let params = guest.check("modinfo -F parm hello")?;
        for (name, kind) in
            [("times", "u32"), ("loud", "bool"), ("whom", "string"), ("numbers", "array of i32")]
        {
            let told =
                |line: &str| line.starts_with(&format!("{name}:")) && line.ends_with(&format!("({kind})"));
            assert!(params.lines().any(told), "no line of {name} with its type {kind}:\n{params}");
        }
        assert_eq!(guest.check("modinfo -F license hello")?.trim(), "GPL");
        assert_eq!(guest.check("modinfo -F version hello")?.trim(), "0.1.0");
        assert_eq!(guest.check("modinfo -F depends hello")?.trim(), "");
        for field in ["author", "description"] {
            assert!(!guest.check(&format!("modinfo -F {field} hello"))?.trim().is_empty(), "no {field}");
        }
        Ok(())
    });
}

#[test]
fn it_greets_as_its_parameters_say_and_shows_them_in_sysfs() {
    on_guest(|guest| {
        let log = logged(guest, "")?;
        assert_eq!(log, "hello: hello, world\nhello: 0 number(s): []\nhello: goodbye, world\n");

        let log = logged(guest, r#"times=2 loud whom="big wide world" numbers=7,-1,0x10"#)?;
        let greeting = "hello: hello, big wide world!!!\n";
        assert_eq!(
            log,
            format!("{greeting}{greeting}hello: 3 number(s): [7, -1, 16]\nhello: goodbye, big wide world\n")
        );

        guest.load("hello", "times=10 loud=0 whom=Jürgen numbers=1,2,3,4")?;
        assert_eq!(shown(guest, "times")?, "10\n");
        assert_eq!(shown(guest, "loud")?, "N\n");
        assert_eq!(shown(guest, "whom")?, "Jürgen\n");
        assert_eq!(shown(guest, "numbers")?, "1,2,3,4\n");
        let modes = guest.check("stat -c %a /sys/module/hello/parameters/*")?;
        assert_eq!(modes, "444\n".repeat(4), "everybody may read, nobody may write");
        guest.unload("hello")?;

        guest.load("hello", &format!("whom={} numbers=-2147483648", "x".repeat(32)))?;
        assert_eq!(shown(guest, "whom")?, format!("{}\n", "x".repeat(32)), "the longest name");
        assert_eq!(shown(guest, "numbers")?, "-2147483648\n");
        guest.unload("hello")?;

        guest.load("hello", "times=2 whom= times=3")?;
        assert_eq!(shown(guest, "times")?, "3\n", "the last value holds");
        assert_eq!(shown(guest, "whom")?, "\n", "a text may be empty");
        guest.unload("hello")
    });
}

#[test]
fn a_wrong_value_is_einval_and_a_line_that_says_which() {
    let range = "it must be a whole number from 0 to 4294967295";
    let item = |n| format!("number {n} of the list must be a whole number from -2147483648 to 2147483647");
    let too_long = "x".repeat(33);
    let wrong = [
        ("times=many", range.to_owned()),
        ("times=-1", range.to_owned()),
        ("times=4294967296", range.to_owned()),
        ("times=", range.to_owned()),
        ("times=0", "it must be 1 to 10".to_owned()),
        ("times=11", "it must be 1 to 10".to_owned()),
        ("loud=maybe", "it must be y or n".to_owned()),
        ("loud=2", "it must be y or n".to_owned()),
        (&format!("whom={too_long}"), "it must not be longer than 32 bytes".to_owned()),
        ("numbers=1,2,3,4,5", "there must not be more than 4 numbers".to_owned()),
        ("numbers=1,two,3", item(2)),
        ("numbers=1,2147483648", item(2)),
        ("numbers=", item(1)),
    ];
    on_guest(|guest| {
        for (param, why) in wrong {
            guest.check("dmesg -C")?;
            let tried = guest.exec(&format!("insmod $(modinfo -n hello) {param}"))?;
            assert_ne!(tried.status.code(), 0, "insmod took {param}");
            let said = tried.stderr_text();
            assert!(said.contains("Invalid parameters"), "{param}: no EINVAL: {said}");
            let log = guest.check("dmesg --notime")?;
            let line = format!("hello: parameter {param}: {why}");
            assert!(log.lines().any(|l| l.starts_with(&line)), "{param}: no line {line:?}:\n{log}");
            assert!(!log.contains("hello, "), "{param}: it greeted all the same:\n{log}");
            guest.check("! test -e /sys/module/hello")?;
        }
        // What needs a value, and what nobody knows.
        let tried = guest.exec("insmod $(modinfo -n hello) times")?;
        assert!(tried.stderr_text().contains("Invalid parameters"), "{}", tried.stderr_text());
        logged(guest, "no_such=1").map(|log| {
            assert!(log.contains("unknown parameter 'no_such' ignored"), "{log}");
        })
    });
}

repeated!(it_can_be_loaded_and_unloaded, 8, 200);

fn it_can_be_loaded_and_unloaded(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "m=$(modinfo -n hello)
             for i in $(seq {times}); do
                 insmod $m times=2 whom=$i numbers=$i,$i && rmmod hello || exit 1
             done"
        ))?;
        guest.check(&format!("dmesg | grep -q 'goodbye, {times}' && ! test -e /sys/module/hello")).map(drop)
    });
}

#[test]
fn a_parameter_is_read_while_the_module_goes() {
    on_guest(|guest| {
        // A reader either gets the whole value or finds the file gone, and never keeps the module.
        guest.check(
            "m=$(modinfo -n hello)
             while ! test -e /tmp/stop; do
                 v=$(cat /sys/module/hello/parameters/whom 2>/dev/null) || continue
                 test \"$v\" = reader || { echo \"$v\" >/tmp/wrong; exit 1; }
             done & reader=$!
             for i in $(seq 20); do
                 insmod $m whom=reader && rmmod hello || exit 1
             done
             touch /tmp/stop; wait $reader && ! test -e /tmp/wrong",
        )?;
        Ok(())
    });
}
