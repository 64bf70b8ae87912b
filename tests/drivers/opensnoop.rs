// SPDX-License-Identifier: MIT OR Apache-2.0
//! `opensnoop`: the opens of a process or a user are told, whole, in order and no others; what is lost is counted; and
//! the calls themselves do not notice.

use blockyard_lab::{Guest, Result};
use blockyard_tests::{on_guest, repeated};

/// A process that there is not: the filter of a test that turns reporting on later.
const NOBODY: &str = "pid=4194305";

/// Runs `test` with the module loaded with these parameters.
#[track_caller]
fn with_opensnoop(params: &str, test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        guest.load("opensnoop", params)?;
        test(guest)
    });
}

/// Runs a shell script whose own opens are reported from its first line on; gives its output and the lines that tell
/// of them, up to that of the script's end.
fn snooped(guest: &Guest, script: &str) -> Result<(String, Vec<String>)> {
    let script = format!("echo $$ >/sys/kernel/opensnoop/pid\n{script}\ncommand : </the-end; exit 0\n");
    guest.write("/tmp/script", script)?;
    guest.check("dd if=/dev/opensnoop of=/dev/null bs=1M iflag=nonblock 2>/dev/null || true")?;
    let said = guest.check("sh /tmp/script 2>&1")?;
    let told = guest.check("timeout 60 sed '/ \\/the-end$/q' /dev/opensnoop")?;
    Ok((said, told.lines().map(String::from).collect()))
}

/// What comes after the numbers and the name in a line: the call and the path.
fn call(line: &str) -> &str {
    line.split_once(" sh ").map(|parts| parts.1).unwrap_or_else(|| panic!("not a line of a shell: {line}"))
}

#[test]
fn the_opens_of_a_process_are_told_and_go_on_unharmed() {
    with_opensnoop(NOBODY, |guest| {
        let long = format!("/{}", "x".repeat(256));
        let exact = format!("/{}", "e".repeat(255));
        let (said, told) = snooped(
            guest,
            &format!(
                "read name </etc/hostname && echo \"read: $name\"
                 command : </no/such/file
                 command : </etc
                 cat /etc/passwd
                 echo made >/tmp/made && read made </tmp/made && echo $made
                 cd /etc && command : <passwd
                 command : <'/a new\n  7      0 sh openat line'
                 command : <{long}
                 command : <{exact}
                 (exec /nowhere/at-all)"
            ),
        )?;
        let hostname = guest.check("cat /etc/hostname")?;
        assert!(said.contains(&format!("read: {}\n", hostname.trim())), "{said}");
        assert!(said.contains("/no/such/file: No such file"), "ENOENT did not stay ENOENT: {said}");
        assert!(said.contains("\nmade\n"), "{said}");
        assert!(said.contains("File name too long"), "ENAMETOOLONG did not stay ENAMETOOLONG: {said}");

        let calls: Vec<&str> = told.iter().map(|line| call(line)).collect();
        let expected = [
            "openat /etc/hostname".to_string(),
            "openat /no/such/file".into(),
            "openat /etc".into(),
            "openat /tmp/made".into(),
            "openat /tmp/made".into(),
            "openat passwd".into(),
            r"openat /a new\n  7      0 sh openat line".into(),
            format!("openat {}...", &long[..256]),
            format!("openat {exact}"),
            "openat /the-end".into(),
        ];
        assert_eq!(calls, expected);
        let pid: Vec<&str> = told.iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert!(pid.iter().all(|each| *each == pid[0]), "the opens of others (cat) are told, too: {told:#?}");
        assert!(told.iter().all(|line| line.split_whitespace().nth(1) == Some("0")), "{told:#?}");
        Ok(())
    });
}

#[test]
fn the_opens_of_a_user_are_told_whatever_the_system_call() {
    with_opensnoop("uid=33", |guest| {
        assert_eq!(guest.check("cat /sys/kernel/opensnoop/uid /sys/kernel/opensnoop/pid")?, "33\n0\n");
        guest.check(
            "cat /etc/hosts >/dev/null; setpriv --reuid 33 --clear-groups head -c 1 /etc/passwd >/dev/null",
        )?;
        guest.check("setpriv --reuid 33 --clear-groups head -c 1 /the-end 2>/dev/null || true")?;
        let told = guest.check("timeout 60 sed '/ \\/the-end$/q' /dev/opensnoop")?;
        assert!(told.lines().all(|line| line.split_whitespace().nth(1) == Some("33")), "{told}");
        assert!(told.lines().any(|line| line.ends_with(" head openat /etc/passwd")), "{told}");
        assert!(told.lines().any(|line| line.contains(" execve /") && line.ends_with("/head")), "{told}");
        assert!(!told.contains("/etc/hosts"), "root's open is told: {told}");
        // Both filters at once: a process of that user, which does not exist.
        guest.check("echo 1 >/sys/kernel/opensnoop/pid; cat /etc/hosts >/dev/null")?;
        guest.check("setpriv --reuid 33 --clear-groups head -c 1 /etc/passwd >/dev/null")?;
        let none = guest.exec("dd if=/dev/opensnoop bs=64k iflag=nonblock")?;
        assert_eq!(none.stdout_text(), "");
        assert!(none.stderr_text().contains("temporarily unavailable"), "no EAGAIN: {}", none.stderr_text());
        for (file, wrong) in
            [("pid", "-1"), ("pid", "4294967296"), ("pid", "me"), ("uid", "-2"), ("uid", "4294967295")]
        {
            let tried = guest.exec(&format!("printf '%s' {wrong} | tee /sys/kernel/opensnoop/{file}"))?;
            assert!(
                tried.stderr_text().contains("Invalid argument"),
                "{file}={wrong}: {}",
                tried.stderr_text()
            );
        }
        assert_eq!(guest.check("cat /sys/kernel/opensnoop/uid /sys/kernel/opensnoop/pid")?, "33\n1\n");
        guest.unload("opensnoop")?;
        for (wrong, says) in [
            ("pid=-1", "must not be negative"),
            ("uid=-2", "must be -1, or a user"),
            ("pid=x", "pid=x: it must be a whole number"),
        ] {
            let tried = guest.exec(&format!("insmod $(modinfo -n opensnoop) {wrong}"))?;
            assert!(tried.stderr_text().contains("Invalid"), "{wrong}: {}", tried.stderr_text());
            let log = guest.check("dmesg | grep 'opensnoop: parameter' | tail -n 1")?;
            assert!(log.contains(says), "{wrong}: {log}");
        }
        Ok(())
    });
}

/// Lines of the file that tell of an open of `/etc/hostname`, and the sum of those that tell of losses.
fn tally(guest: &Guest, file: &str) -> Result<(u64, u64)> {
    let text = guest.check(&format!("cat {file}"))?;
    let told = text.lines().filter(|line| line.ends_with(" sh openat /etc/hostname")).count();
    let losses: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.strip_suffix(" lost")?.parse().ok())
        .collect();
    assert_eq!(told + losses.len(), text.lines().count(), "there are other lines:\n{text}");
    Ok((told as u64, losses.iter().sum()))
}

#[test]
fn what_nobody_reads_in_time_is_lost_counted_and_told_once() {
    with_opensnoop(NOBODY, |guest| {
        guest.check(
            "sh -c 'echo $$ >/sys/kernel/opensnoop/pid
                    i=0; while [ $i -lt 3000 ]; do : </etc/hostname; i=$((i + 1)); done'",
        )?;
        let lost: u64 = guest.check("cat /sys/kernel/opensnoop/lost")?.trim().parse().expect("a number");
        guest.check("! dd if=/dev/opensnoop of=/tmp/told bs=1M iflag=nonblock")?;
        let (told, said) = tally(guest, "/tmp/told")?;
        assert!(told > 0 && lost > 0, "{told} told, {lost} lost");
        assert_eq!((told + lost, said), (3000, lost));
        guest
            .check("! dd if=/dev/opensnoop of=/tmp/again bs=1M iflag=nonblock && ! [ -s /tmp/again ]")
            .map(drop)
    });
}

#[test]
fn with_many_openers_and_readers_each_call_is_told_to_one_reader_or_lost() {
    with_opensnoop(NOBODY, |guest| {
        guest.check(
            "cat /dev/opensnoop >/tmp/told1 & one=$!; cat /dev/opensnoop >/tmp/told2 & two=$!
             for opener in 1 2 3 4; do
                 setpriv --reuid 33 --clear-groups sh -c '>&3 echo ready
                     until [ -e /tmp/go ]; do :; done
                     i=0; while [ $i -lt 2000 ]; do : </etc/hostname; i=$((i + 1)); done; >&3 echo done' 3>>/tmp/done &
             done
             until [ \"$(grep -c ready /tmp/done)\" = 4 ]; do sleep 0.1; done
             echo 33 >/sys/kernel/opensnoop/uid; echo 0 >/sys/kernel/opensnoop/pid; : >/tmp/go
             until [ \"$(grep -c done /tmp/done)\" = 4 ]; do sleep 0.1; done
             echo 4194305 >/sys/kernel/opensnoop/pid
             for try in $(seq 600); do
                 lost=$(cat /sys/kernel/opensnoop/lost)
                 said=$(sed -n 's/^# \\(.*\\) lost$/\\1/p' /tmp/told1 /tmp/told2 | awk '{ n += $1 } END { print n + 0 }')
                 [ $(cat /tmp/told1 /tmp/told2 | grep -c hostname) = $((8000 - lost)) ] && [ $said = $lost ] && break
                 sleep 0.1
             done; kill $one $two; wait",
        )?;
        let (first, second) = (tally(guest, "/tmp/told1")?, tally(guest, "/tmp/told2")?);
        let lost: u64 = guest.check("cat /sys/kernel/opensnoop/lost")?.trim().parse().expect("a number");
        assert_eq!((first.0 + second.0 + lost, first.1 + second.1), (8000, lost));
        guest.unload("opensnoop")
    });
}

#[test]
fn readers_wait_poll_are_interrupted_and_keep_the_module() {
    with_opensnoop(NOBODY, |guest| {
        assert_eq!(guest.exec("timeout 1 cat /dev/opensnoop")?.status.code(), 124, "a signal ends the wait");
        assert_eq!(
            guest.exec("busybox ash -c 'read -t 1 line' </dev/opensnoop")?.status.code(),
            1,
            "nothing to read"
        );
        guest.check(
            "cat /dev/opensnoop >/tmp/told & reader=$!
             busybox ash -c 'read -t 100 line && echo \"$line\"' </dev/opensnoop >/tmp/polled & poller=$!
             until [ \"$(sed -n 's/^opensnoop [0-9]* \\([0-9]*\\) .*/\\1/p' /proc/modules)\" = 2 ]; do :; done
             ! rmmod opensnoop 2>/tmp/err && grep 'in use' /tmp/err || exit 1
             kill $reader; wait $reader
             sh -c 'echo $$ >/sys/kernel/opensnoop/pid; : </etc/hostname'
             wait $poller && grep ' sh openat /etc/hostname$' /tmp/polled || exit 1
             sh -c 'echo $$ >/sys/kernel/opensnoop/pid; : </etc/hostname; : </etc/passwd'
             dd if=/dev/opensnoop of=/tmp/bytes bs=1 iflag=nonblock 2>/dev/null
             [ \"$(sed 's/.* sh //' /tmp/bytes)\" = \"$(printf 'openat /etc/hostname\\nopenat /etc/passwd')\" ]",
        )?;
        let said = guest.exec("dd if=/dev/zero of=/dev/opensnoop count=1")?;
        assert!(said.stderr_text().contains("Invalid argument"), "{}", said.stderr_text());
        let said = guest.exec("setpriv --reuid 33 --clear-groups head -c 1 /dev/opensnoop")?;
        assert!(said.stderr_text().contains("Permission denied"), "{}", said.stderr_text());
        guest.unload("opensnoop")
    });
}

repeated!(loads_and_unloads_while_files_are_opened_leave_nothing, 6, 200);

fn loads_and_unloads_while_files_are_opened_leave_nothing(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "for opener in 1 2; do
                 sh -c 'while ! [ -e /tmp/stop ]; do : </etc/hostname || exit 1; done; >&3 echo done' 3>>/tmp/done &
             done
             ko=$(modinfo -n opensnoop)
             for i in $(seq {times}); do insmod $ko && rmmod opensnoop || exit 1; done
             : >/tmp/stop; wait
             [ $(grep -c done /tmp/done) = 2 ] && ! [ -e /dev/opensnoop ] && ! [ -e /sys/kernel/opensnoop ]"
        ))?;
        Ok(())
    });
}
