// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel log: read from its first line, and the judge of a run whose commands all succeeded.

use blockyard_lab::klog::Allow;
use blockyard_lab::{Guest, Kind};
use blockyard_tests::run;

use crate::machine;

/// Marks the kernel as having warned, as a driver's WARN does: the least that can be provoked in any kernel.
const WARN: &str = "echo 512 >/proc/sys/kernel/tainted";

fn booted() -> Guest {
    machine().boot().unwrap_or_else(|e| panic!("no guest: {e}"))
}

#[test]
fn the_log_is_whole_to_its_last_line() {
    run(machine(), |guest| {
        let log = guest.dmesg()?;
        assert!(log.first().is_some_and(|line| line.text.starts_with("Linux version")), "{:?}", log.first());
        guest.check("echo '<4>from a test' >/dev/kmsg")?;
        let log = guest.dmesg()?;
        assert!(log.last().is_some_and(|line| line.text == "from a test"), "{:?}", log.last());
        Ok(())
    });
}

#[test]
fn a_flood_does_not_break_the_log() {
    run(machine(), |guest| {
        guest.check("i=0; while [ $i -lt 5000 ]; do echo \"flood $i\"; i=$((i+1)); done >/dev/kmsg")?;
        let log = guest.dmesg()?;
        assert!(log.iter().any(|line| line.text == "flood 4999"));
        Ok(())
    });
}

#[test]
fn a_kernel_that_warned_fails_a_run_that_succeeded() {
    let guest = booted();
    guest.check(WARN).unwrap();
    let error = guest.finish().unwrap_err();
    assert_eq!(error.kind(), Kind::KernelLog, "{error}");
}

#[test]
fn what_a_user_program_says_of_bugs_is_no_complaint() {
    run(machine().allow_log(Allow::new("never said").unwrap()), |guest| {
        guest.check("echo '<1>BUG: kernel NULL pointer dereference, address: 0' >/dev/kmsg").map(drop)
    });
}
