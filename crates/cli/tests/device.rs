// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard device` and `--device`, as far as no guest is needed: wrong use, the socket, and the end.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{blockyard, run};

/// A device that listens; ended with the test.
struct Served(Child);

impl Served {
    fn start(spec: &str, socket: &Path) -> Self {
        let mut command = blockyard();
        command.args(["device", spec, "--socket"]).arg(socket).stderr(Stdio::null());
        let mut served = Self(command.spawn().expect("it starts"));
        eventually("it listens", || {
            assert_eq!(served.0.try_wait().unwrap(), None, "it has ended");
            UnixStream::connect(socket).is_ok()
        });
        served
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn ended(mut self) -> Option<i32> {
        let mut status = None;
        eventually("it ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn left(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn types_and_options_that_are_not_there_are_answered_with_those_that_are() {
    let wrong = [
        ("floppy", "`floppy`", "hello"),
        ("hello,colour=red", "`colour`", "max-message"),
        ("hello,capacity=lots", "`lots`", "64K"),
        ("rng,queue-size=3", "`3`", "power of two"),
        ("console,size=80", "`80`", "80x25"),
        ("blk", "size", "size="),
        ("hello,no-events,no-events", "no-events", "twice"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (spec, named, right) in wrong {
        let ran = run(blockyard().args(["device", spec, "--socket"]).arg(dir.path().join("s")));
        assert_eq!(ran.code, 2, "{spec}: {ran}");
        ran.says(named).says(right).says("device --help");
        // The same for a machine, before anything is built.
        let ran = run(blockyard().args(["exec", "--device", spec, "--", "true"]));
        assert_eq!(ran.code, 2, "{spec}: {ran}");
        ran.says(named).says(right);
    }
    assert_eq!(left(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn help_lists_every_type_with_its_options() {
    let ran = run(blockyard().args(["device", "--help"]));
    assert_eq!(ran.code, 0, "{ran}");
    ran.says("blk:").says("console:").says("hello:").says("rng:").says("no-checksum").says("--socket");
    let ran = run(blockyard().args(["device", "hello"]));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("--socket");
}

#[test]
fn a_socket_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120));
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    for (socket, why) in [
        (long.as_path(), "at most 107"),
        (file.as_path(), "not a socket"),
        (Path::new("/no/such/folder/s"), "No such file"),
    ] {
        let ran = run(blockyard().args(["device", "rng", "--socket"]).arg(socket));
        assert_eq!(ran.code, 2, "{ran}");
        ran.says(why).says(&socket.display().to_string());
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn two_at_once_need_two_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let _first = Served::start("hello", &socket);
    let ran = run(blockyard().args(["device", "hello", "--socket"]).arg(&socket));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("s.sock").says("listens there already");
    assert!(UnixStream::connect(&socket).is_ok(), "the first is served on");
    let _second = Served::start("hello", &dir.path().join("other.sock"));
    for name in ["s.sock", "s.stream", "other.sock", "other.stream"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn ctrl_c_and_sigterm_end_it_well_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for signal in ["INT", "TERM"] {
        let served = Served::start("hello", &dir.path().join("s.sock"));
        // A program at its stream does not keep it.
        let _program = UnixStream::connect(dir.path().join("s.stream")).unwrap();
        served.signal(signal);
        assert_eq!(served.ended(), Some(0), "{signal}");
        assert_eq!(left(dir.path()), Vec::<std::path::PathBuf>::new(), "{signal}");
    }
}

#[test]
fn what_a_killed_one_has_left_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let killed = Served::start("hello", &socket);
    killed.signal("KILL");
    assert_eq!(killed.ended(), None);
    assert!(socket.exists(), "nobody could remove it");
    drop(Served::start("hello", &socket));
}
