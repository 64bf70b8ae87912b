// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for every child: streams apart, exit codes kept, no process left.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use super::*;

fn sh<'a>(script: &str) -> Command<'a> {
    Command::new("sh").args(["-c", script])
}

/// Whether a process runs (a zombie does not).
fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

/// SIGKILL is asynchronous: the process is gone soon, not at once.
fn gone_soon(pid: &str) -> bool {
    let start = Instant::now();
    while alive(pid) && start.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    !alive(pid)
}

#[test]
fn streams_are_apart_and_whole() {
    let out = sh("printf 'a\\nb'; printf c >&2; exit 3").output().unwrap();
    assert_eq!(
        (out.stdout.as_slice(), out.stderr.as_slice(), out.status.code()),
        (&b"a\nb"[..], &b"c"[..], Some(3))
    );
}

#[test]
fn a_failure_tells_the_code_and_the_last_lines() {
    let error = sh("echo reason >&2; exit 7").failure_kind(Kind::Build).run().unwrap_err();
    assert_eq!(error.kind(), Kind::Build);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("exit code 7") && cause.contains("reason"), "{cause}");
}

#[test]
fn a_full_disk_is_recognised_from_the_programs_words() {
    let error = sh("echo 'tar: x: Cannot write: No space left on device' >&2; exit 2").run().unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
}

#[test]
fn a_missing_program_is_a_need() {
    let error = Command::new("no-such-program-here").run().unwrap_err();
    assert_eq!(error.kind(), Kind::Need);
    assert!(error.help().is_some());
}

#[test]
fn input_is_fed_from_memory_however_long() {
    let input = vec![b'x'; 1 << 20];
    let output = sh("wc -c").stdin_bytes(&input).unwrap().read().unwrap();
    assert_eq!(String::from_utf8(output).unwrap().trim(), "1048576");
}

#[test]
fn a_deadline_ends_the_whole_group() {
    let mut grandchild = String::new();
    let start = Instant::now();
    let error = sh("sleep 1000 & echo $!; wait")
        .deadline(Duration::from_millis(300))
        .on_line(|_, line| grandchild = line.to_owned())
        .run()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(!grandchild.is_empty() && gone_soon(&grandchild));
}

#[test]
fn dropping_a_child_ends_what_it_started_even_if_it_ignores_sigterm() {
    let mut command = sh("trap '' TERM; sleep 1000 & echo $!; wait").grace(Duration::from_millis(100));
    let mut child = command.spawn_with(Stdio::piped(), Stdio::inherit()).unwrap();
    let mut grandchild = String::new();
    BufReader::new(child.take_stdout().unwrap()).read_line(&mut grandchild).unwrap();
    let (pid, grandchild) = (child.id().to_string(), grandchild.trim().to_owned());
    assert!(alive(&pid) && alive(&grandchild));
    drop(child);
    assert!(gone_soon(&pid) && gone_soon(&grandchild));
}

#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    let mut child = std::thread::spawn(|| {
        sh("echo up; exec sleep 1000").spawn_with(Stdio::piped(), Stdio::inherit()).unwrap()
    })
    .join()
    .unwrap();
    let mut line = String::new();
    BufReader::new(child.take_stdout().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(child.wait(Some(Duration::from_millis(200))).unwrap(), None);
    assert!(alive(&child.id().to_string()));
}

/// Set where the test below runs the next one.
const VICTIM: &str = "BLOCKYARD_TEST_VICTIM";

/// The process that plays a lab which gets killed: it starts a child, says its pid, and hangs.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn victim() {
    // All ignored tests may be asked for.
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let mut command = sh("echo $$; exec sleep 1000");
    let mut child = command.spawn_with(Stdio::inherit(), Stdio::inherit()).unwrap();
    child.wait(None).unwrap();
}

#[test]
fn a_killed_lab_takes_its_children_along() {
    let me = std::env::current_exe().unwrap();
    let mut lab = Command::new(me)
        .args(["--exact", "process::tests::victim", "--ignored", "--nocapture", "--test-threads=1"])
        .env(VICTIM, "1")
        .spawn_with(Stdio::piped(), Stdio::inherit())
        .unwrap();
    let lines = BufReader::new(lab.take_stdout().unwrap()).lines();
    // The harness may print the test's name in front of the number.
    let pid = lines
        .map_while(std::result::Result::ok)
        .find_map(|l| l.split_whitespace().last().filter(|w| w.parse::<u32>().is_ok()).map(str::to_owned))
        .expect("the victim tells its child's number");
    assert!(alive(&pid));
    lab.signal(Signal::KILL).unwrap();
    assert!(gone_soon(&pid));
}

#[test]
fn programs_are_found_where_a_users_path_does_not_look() {
    assert!(find_program("sh").is_some());
    assert_eq!(find_program("no-such-program-here"), None);
    assert_eq!(find_program("/etc/passwd"), None, "not executable");
}
