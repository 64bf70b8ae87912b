// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ctrl-C as a value: the command arms it once, and every wait of the lab looks at it.
//!
//! A process that dies by the default action of SIGINT leaves its QEMU, its `make` and its temporary
//! files behind. So the command catches SIGINT, SIGTERM and SIGHUP; waits return
//! [`Kind::Interrupted`]; destructors then do what they always do. A second SIGINT, or a second SIGTERM, while the first
//! is being handled ends the process at once. A second SIGHUP does not: nobody sends it out of impatience, and a terminal
//! that closes sends two, one from the kernel and one from the shell. A program that uses the lab as a library and arms
//! nothing keeps its own signal handling.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Context, Error, Kind, Result};

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(0)));

/// Catches SIGINT, SIGTERM and SIGHUP from now on, each unless whoever started us has it ignored, as `nohup` does SIGHUP,
/// and a shell SIGINT for what it runs in the background.
pub fn arm() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !ignored(*signal)) {
        catch(signal).context(Kind::Lab, || format!("cannot catch signal {signal}"))?;
    }
    Ok(())
}

fn catch(signal: i32) -> std::io::Result<()> {
    if signal != SIGHUP {
        let seen = Arc::new(AtomicBool::new(false));
        // Order matters: the hard exit looks at the flag before this same signal raises it.
        flag::register_conditional_shutdown(signal, 128 + signal, seen.clone())?;
        flag::register(signal, seen)?;
    }
    flag::register_usize(signal, SIGNAL.clone(), signal as usize)?;
    flag::register(signal, FLAG.clone()).map(drop)
}

/// Whether this process ignores the signal, by what the kernel says: the C library tells only whoever sets another
/// action.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether a signal has arrived since [`arm`].
pub fn pending() -> bool {
    FLAG.load(Ordering::Relaxed)
}

/// The signal that arrived, if one did: the command ends with 128 plus this number.
pub fn signal() -> Option<i32> {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        number => i32::try_from(number).ok(),
    }
}

/// An error of [`Kind::Interrupted`] once a signal has arrived; for loops that wait.
pub fn check() -> Result<()> {
    if pending() { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};
    use std::process::{Command, ExitStatus};
    use std::time::{Duration, Instant};

    /// What the test `child` is to do; without it, it does nothing.
    const PART: &str = "BLOCKYARD_TEST_INTERRUPT";

    /// Runs `child` in a process of its own, because an armed process stays armed; begun by this line of shell.
    fn play(part: &str, before: &str) -> ExitStatus {
        let run = format!("{before}\nexec \"$0\" --exact interrupt::tests::child");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(run).arg(std::env::current_exe().unwrap()).env(PART, part);
        shell.output().unwrap().status
    }

    /// Sends itself a signal and waits until it has been taken.
    fn send(signal: Signal) {
        SIGNAL.store(0, Ordering::Relaxed);
        kill_process(getpid(), signal).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while super::signal() != Some(signal.as_raw()) {
            assert!(Instant::now() < deadline, "{signal:?} was not taken");
            std::thread::yield_now();
        }
        assert!(pending());
    }

    #[test]
    fn child() {
        let Ok(part) = std::env::var(PART) else { return };
        let was_ignored = ignored(SIGHUP);
        arm().unwrap();
        match part.as_str() {
            "ignored" => assert!(was_ignored && ignored(SIGHUP)),
            "hang up twice" => [Signal::HUP, Signal::HUP].into_iter().for_each(send),
            "one of each" => [Signal::INT, Signal::TERM, Signal::HUP].into_iter().for_each(send),
            "terminate twice" => [Signal::TERM, Signal::TERM].into_iter().for_each(send),
            other => panic!("no part {other}"),
        }
    }

    /// A shell cannot undo what its own parent ignores, so a test under `nohup` proves less.
    fn inherits_nothing() -> bool {
        ![SIGHUP, SIGINT, SIGTERM].into_iter().any(ignored)
    }

    #[test]
    fn a_signal_that_is_ignored_at_the_start_stays_ignored() {
        assert!(play("ignored", "trap '' HUP").success());
    }

    #[test]
    fn a_second_hangup_or_another_signal_lets_destructors_run() {
        if inherits_nothing() {
            assert!(play("hang up twice", "").success());
            assert!(play("one of each", "").success());
        }
    }

    #[test]
    fn the_second_signal_of_a_kind_ends_the_process() {
        if inherits_nothing() {
            assert_eq!(play("terminate twice", "").code(), Some(128 + SIGTERM));
        }
    }
}
