// SPDX-License-Identifier: MIT OR Apache-2.0
//! `taskinfo`: what the kernel knows of a process, compared with what it says elsewhere.

use std::collections::BTreeMap;

use blockyard_lab::{Guest, Result};
use blockyard_tests::{on_guest, repeated};

/// A program that another user runs.
const AS_USER: &str = "setpriv --reuid 1000 --regid 1001 --clear-groups";

/// The lines of a text, by what stands before the colon, with single blanks.
fn lines(text: &str) -> BTreeMap<String, String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (words(key), words(value)))
        .collect()
}

/// What `taskinfo` says of a process.
fn ask(guest: &Guest, pid: &str) -> Result<BTreeMap<String, String>> {
    guest
        .check(&format!("exec 3<>/proc/taskinfo/process && echo {pid} >&3 && cat <&3"))
        .map(|text| lines(&text))
}

/// Checks all facts of a process that stays as it is.
fn compare(guest: &Guest, pid: &str) -> Result<()> {
    let said = ask(guest, pid)?;
    let status = lines(&guest.check(&format!("cat /proc/{pid}/status"))?);
    let first = |key: &str, nth: usize| status[key].split(' ').nth(nth).unwrap_or_default().to_owned();
    let mut expected = vec![
        ("name", status["Name"].clone()),
        ("state", status["State"].clone()),
        ("parent", status["PPid"].clone()),
        ("threads", status["Threads"].clone()),
        ("uid", format!("{} (effective {})", first("Uid", 0), first("Uid", 1))),
        ("gid", format!("{} (effective {})", first("Gid", 0), first("Gid", 1))),
    ];
    if status.contains_key("VmSize") {
        expected.push(("mapped", format!("{} KiB", first("VmSize", 0))));
        expected.push(("resident", format!("{} KiB", first("VmRSS", 0))));
    }
    if !status["State"].starts_with('Z') {
        expected.push(("open files", guest.check(&format!("ls /proc/{pid}/fd | wc -l"))?.trim().to_owned()));
    }
    for (key, value) in &expected {
        assert_eq!(said.get(*key), Some(value), "{key} of {pid}: {said:?}");
    }
    assert_eq!(said.len(), expected.len() + 1, "more than is known: {said:?}");
    // Field 22 is in hundredths of a second; the name before it may have blanks, so count from its end.
    let stat = guest.check(&format!("cat /proc/{pid}/stat"))?;
    let ticks = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)).unwrap_or_default();
    let (seconds, rest) = said["started"].split_once('.').expect("a fraction");
    let hundredths: u64 = format!("{seconds}{}", &rest[..2]).parse().expect("a number");
    assert_eq!(hundredths.to_string(), ticks, "start of {pid}");
    assert!(rest.ends_with(" s after boot"), "{rest}");
    Ok(())
}

/// Starts a program, waits until it sleeps, and gives its number.
fn sleeper(guest: &Guest, program: &str) -> Result<String> {
    let pid = guest.check(&format!(
        "setsid {program} </dev/null >/dev/null 2>&1 & p=$!
         until grep -q '^State:.*sleeping' /proc/$p/status && grep -qz sleep /proc/$p/cmdline && ! grep -qz -e set -e exec /proc/$p/cmdline; do test -d /proc/$p || exit 1; done; echo $p"
    ))?;
    Ok(pid.trim().to_owned())
}

#[test]
fn what_is_told_is_what_proc_tells() {
    on_guest(|guest| {
        for field in ["author", "description", "license", "version"] {
            assert_ne!(guest.check(&format!("modinfo -F {field} taskinfo"))?.trim(), "", "{field}");
        }
        guest.load("taskinfo", "")?;
        let modes = guest.check("stat -c '%n %a' /proc/taskinfo/*")?;
        assert_eq!(
            modes,
            "/proc/taskinfo/children 666\n/proc/taskinfo/process 666\n/proc/taskinfo/signal 222\n"
        );
        for program in ["sleep 1000", &format!("{AS_USER} sleep 1000")] {
            let pid = sleeper(guest, program)?;
            compare(guest, &pid)?;
            guest.check(&format!("kill {pid}"))?;
        }
        // A kernel thread has no memory.
        compare(guest, "2")?;
        // A program with many files; and a name with what could pass for a line of the answer.
        let pid = sleeper(guest, "sh -c 'exec 3<&0 4<&0 5<&0 6<&0 7<&0 9<&0; exec sleep 1000'")?;
        compare(guest, &pid)?;
        guest.check(&format!(
            "kill {pid}; printf '#!/bin/sh\\nread x\\n' >/usr/'a\nuid: 0'; chmod +x /usr/a?uid*"
        ))?;
        let said = guest.check(
            "mkfifo /tmp/f && exec 4<>/tmp/f && { /usr/a?uid* <&4 & } && p=$! && exec 3<>/proc/taskinfo/process &&
             until echo $p >&3 && grep '^name: a' <&3; do test -d /proc/$p || exit 1; done; kill $p",
        )?;
        assert_eq!(said, "name: a\\nuid: 0\n");
        // A zombie: its parent has become a program that does not wait.
        let zombie = guest.check(
            "setsid sh -c 'sleep 1000 & echo $! >/tmp/zombie; exec sleep 2000' >/dev/null 2>&1 & p=$!
             until test -s /tmp/zombie && grep -q 2000 /proc/$p/cmdline && ! grep -q exec /proc/$p/cmdline; do :; done
             kill $(cat /tmp/zombie)
             until grep -q '^State:.*zombie' /proc/$(cat /tmp/zombie)/status; do :; done
             cat /tmp/zombie",
        )?;
        compare(guest, zombie.trim())?;
        assert!(!ask(guest, zombie.trim())?.contains_key("mapped"));
        guest.unload("taskinfo")
    });
}

#[test]
fn questions_that_have_no_answer_get_the_right_error() {
    on_guest(|guest| {
        guest.load("taskinfo", "")?;
        for entry in ["process", "children"] {
            let open = format!("exec 3<>/proc/taskinfo/{entry}");
            let refused = |script: &str, why: &str| -> Result<()> {
                let tried = guest.exec(&format!("{open} && {script}"))?;
                assert!(tried.stderr_text().contains(why), "{entry}: {script}: {}", tried.stderr_text());
                assert_ne!(tried.status.code(), 0, "{script}");
                Ok(())
            };
            refused("cat <&3", "No data available")?;
            // No number that is given: `pid_max` is the first that is not.
            refused("cat /proc/sys/kernel/pid_max | dd status=none >&3", "No such process")?;
            for wrong in ["0", "-1", "x", "1 1", "99999999999"] {
                refused(&format!("echo {wrong} | dd status=none >&3"), "Invalid argument")?;
            }
            refused("dd if=/dev/zero bs=4096 count=1 status=none >&3", "Invalid argument")?;
            // It was there when it was asked about, and has gone.
            refused("{ sleep 1000 & } && echo $! >&3 && kill $! && ! wait $! && cat <&3", "No such process")?;
            // A refused question leaves the one before.
            guest.check(&format!("{open} && echo $$ >&3 && ! echo x >&3 && cat <&3"))?;
        }
        // Each open file has its own answer; a second question begins a new one.
        let said = guest.check(
            "exec 3<>/proc/taskinfo/process 4<>/proc/taskinfo/process && echo 1 >&3 && echo 2 >&4 &&
             head -n 1 <&4 && grep ^parent <&3 && echo 2 >&3 && grep ^name <&3",
        )?;
        assert_eq!(said, "name: kthreadd\nparent: 0\nname: kthreadd\n");
        guest.unload("taskinfo")
    });
}

#[test]
fn children_are_those_that_proc_tells() {
    on_guest(|guest| {
        guest.load("taskinfo", "")?;
        // More than fits into a page, read a little at a time.
        let script = "
            mkfifo /tmp/hold; exec 4<>/tmp/hold
            for i in $(seq 300); do (read -r _ <&4) & pids=\"$pids $!\"; done
            echo $pids | tr ' ' '\\n' | sort -n >/tmp/started
            exec 3<>/proc/taskinfo/children; echo $$ >&3; dd bs=100 status=none <&3 >/tmp/said
            grep -c . /tmp/started; wc -c </tmp/said
            cut -d' ' -f1 /tmp/said | grep -Fxf /tmp/started | cmp - /tmp/started || exit 1
            awk '$1 <= last { exit 1 } { last = $1 }' /tmp/said || exit 1
            # All others in it are children, too: those that read.
            test $(wc -l </tmp/said) -le 302 || exit 1
            set -- $pids; kill $1 $2; wait $1 $2
            echo $$ >&3; cat <&3 >/tmp/said; ! grep -E \"^($1|$2) \" /tmp/said && grep \"^$3 \" /tmp/said || exit 1
            kill $pids 2>/dev/null; true";
        let said = guest.check(script)?;
        let mut numbers = said.lines();
        assert_eq!(numbers.next(), Some("300"));
        let bytes: usize = numbers.next().and_then(|n| n.parse().ok()).expect("a size");
        assert!(bytes > 4096, "the list is within a page: {bytes}");
        guest.unload("taskinfo")
    });
}

#[test]
fn a_signal_needs_cap_kill_of_the_opener_and_of_the_writer() {
    on_guest(|guest| {
        guest.load("taskinfo", "")?;
        let refused = |script: &str, why: &str| -> Result<()> {
            let tried = guest.exec(script)?;
            assert!(tried.stderr_text().contains(why), "{script}: {}", tried.stderr_text());
            Ok(())
        };
        let pid = sleeper(guest, &format!("{AS_USER} sleep 1000"))?;
        let send = format!("echo {pid} 15 | dd of=/proc/taskinfo/signal status=none");
        // The very user of the process could kill it, but has no CAP_KILL; root without it is nobody.
        refused(&format!("{AS_USER} sh -c '{send}'"), "Operation not permitted")?;
        refused(&format!("setpriv --bounding-set -kill sh -c '{send}'"), "Operation not permitted")?;
        // Opened by one who may not, written by one who may; and the other way round.
        guest.write("/tmp/may", format!("#!/bin/sh\necho {pid} 15 | dd status=none\n"))?;
        guest.check("chmod 755 /tmp/may && mkfifo /tmp/go")?;
        refused(&format!("exec 3>/proc/taskinfo/signal; {AS_USER} /tmp/may >&3"), "Operation not permitted")?;
        guest.check("cp $(command -v sh) /usr/rootsh && chmod 4755 /usr/rootsh")?;
        assert_eq!(guest.check(&format!("{AS_USER} /usr/rootsh -p -c 'id -u'"))?, "0\n", "not set-uid");
        refused(
            &format!("{AS_USER} sh -c 'exec 3>/proc/taskinfo/signal; exec /usr/rootsh -p /tmp/may >&3'"),
            "Operation not permitted",
        )?;
        guest.check(&format!("kill -0 {pid}"))?;
        for (wrong, why) in [
            (format!("{pid} 65"), "Invalid argument"),
            (format!("{pid} -1"), "Invalid argument"),
            (pid.clone(), "Invalid argument"),
            (format!("{pid} 15 1"), "Invalid argument"),
            ("0 15".into(), "Invalid argument"),
            ("4194304 15".into(), "No such process"),
        ] {
            refused(&format!("echo {wrong} | dd of=/proc/taskinfo/signal status=none"), why)?;
        }
        refused("exec 3<>/proc/taskinfo/signal && cat <&3", "Input/output error")?;
        guest.check(&format!("echo {pid} 0 >/proc/taskinfo/signal && kill -0 {pid}"))?;
        let code = guest.check("sleep 1000 & p=$!; echo $p 10 >/proc/taskinfo/signal; wait $p; echo $?")?;
        assert_eq!(code.trim(), "138", "not ended by SIGUSR1");
        guest.check(&format!("{send} && while test -d /proc/{pid}; do :; done"))?;
        guest.unload("taskinfo")
    });
}

repeated!(processes_that_come_and_go_do_no_harm_nor_does_unloading_meanwhile, 5, 180);

fn processes_that_come_and_go_do_no_harm_nor_does_unloading_meanwhile(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "(until test -e /tmp/over; do for i in 1 2 3 4 5 6 7 8; do true & done; wait; done) & forker=$!
             # An `exec` that fails ends its shell, so that there is one for each round.
             (until test -e /tmp/over; do (
                 exec 3<>/proc/taskinfo/children 4<>/proc/taskinfo/process 5>/proc/taskinfo/signal
                 echo $forker >&3; while read pid name; do echo $pid >&4 && cat <&4; echo $pid 0 >&5; done <&3
             ) done) >/tmp/said 2>&1 & reader=$!
             insmod $(modinfo -n taskinfo) || exit 1
             # Most have gone when they are asked about, and that is an answer, too.
             until test $(grep -c -e ^name: -e 'No such process' /tmp/said) -ge 50; do :; done
             rmmod taskinfo || exit 1
             ko=$(modinfo -n taskinfo)
             for i in $(seq 10); do
                 insmod $ko && rmmod taskinfo || exit 1
             done
             touch /tmp/over; wait $forker $reader
             for i in $(seq {times}); do
                 insmod $ko && rmmod taskinfo || exit 1
             done
             ! test -e /proc/taskinfo"
        ))?;
        Ok(())
    });
}
