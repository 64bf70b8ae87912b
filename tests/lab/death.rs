// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deaths: each has a kind, a name and the end of the console, none is waited for in vain, none leaves anything.

use std::time::{Duration, Instant};

use blockyard_lab::registry::Registry;
use blockyard_lab::{Error, Guest, Kind};

use crate::machine;

/// What no death may take longer than: far below any default time-out.
const SOON: Duration = Duration::from_secs(60);

fn booted() -> Guest {
    machine().boot().unwrap_or_else(|e| panic!("no guest: {e}"))
}

fn console_of(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

fn process_is_gone(pid: u32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_panic_in_the_middle_of_a_command_is_named() {
    let guest = booted();
    let started = Instant::now();
    let error = guest.exec("echo before; echo c >/proc/sysrq-trigger; sleep 1000").unwrap_err();
    assert_eq!(error.kind(), Kind::MachineDied, "{error}");
    assert!(error.to_string().contains("panicked: sysrq triggered crash"), "{error}");
    assert!(console_of(&error).contains("sysrq_handle_crash"), "{}", console_of(&error));
    assert!(started.elapsed() < SOON);
    let later = guest.exec("true").unwrap_err();
    assert_eq!(later.kind(), Kind::MachineDied, "a dead machine stays dead");
}

#[test]
fn a_qemu_that_is_killed_in_the_middle_of_a_command_is_named_and_nothing_is_left() {
    let guest = booted();
    let (name, pid) = (guest.name().to_owned(), guest.qemu_pid());
    let mut running = guest.command(["sh", "-c", "echo ready; sleep 1000"]).spawn().unwrap();
    running.wait_for_text("ready", Duration::from_secs(20)).unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    let started = Instant::now();
    let error = running.wait().unwrap_err();
    assert_eq!(error.kind(), Kind::MachineDied);
    assert!(error.to_string().contains("QEMU was killed by signal 9"), "{error}");
    assert!(started.elapsed() < SOON);
    assert_eq!(guest.finish().unwrap_err().kind(), Kind::MachineDied);
    assert!(process_is_gone(pid));
    assert!(Registry::open().unwrap().list().unwrap().iter().all(|guest| guest.name != name));
}

#[test]
fn a_guest_that_resets_itself_is_no_success() {
    let guest = booted();
    let error = guest.exec("echo b >/proc/sysrq-trigger; sleep 1000").unwrap_err();
    assert_eq!(error.kind(), Kind::MachineDied);
    assert!(error.to_string().contains("reset"), "{error}");
}

#[test]
fn dropping_a_guest_ends_its_machine_and_removes_its_folder() {
    let guest = booted();
    let (name, pid) = (guest.name().to_owned(), guest.qemu_pid());
    let listed = Registry::open().unwrap().find(&name).unwrap();
    drop(guest);
    assert!(process_is_gone(pid));
    assert!(!listed.1.exists());
}

#[test]
fn a_kernel_that_finds_no_init_is_a_failed_boot_with_the_panic_named() {
    let error = machine().append("rdinit=/no/such/init").boot().unwrap_err();
    assert_eq!(error.kind(), Kind::Boot, "{error}");
    assert!(error.to_string().contains("panicked"), "{error}");
    assert!(!console_of(&error).is_empty());
}

#[test]
fn a_guest_that_never_answers_is_a_failed_boot_in_time() {
    let started = Instant::now();
    // 100 ms are too few for any kernel; a minute here would tell no more.
    let error = machine().boot_timeout(Duration::from_millis(100)).boot().unwrap_err();
    assert_eq!(error.kind(), Kind::Boot, "{error}");
    let said = error.to_string();
    assert!(said.contains("never answered") || said.contains("did not open"), "{said}");
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_machine_that_qemu_refuses_is_named_in_qemus_words() {
    let error = machine().mem_mib(1 << 30).boot().unwrap_err();
    assert_eq!(error.kind(), Kind::Boot, "{error}");
    assert!(error.to_string().contains("QEMU ended with exit code 1"), "{error}");
}
