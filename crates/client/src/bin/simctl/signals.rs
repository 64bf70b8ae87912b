// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ctrl-C ends a wait for a request, and is then seen by the loop around it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether a signal has asked this program to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Catches SIGINT, SIGTERM and SIGHUP from now on. A second one ends the program at once.
    pub(crate) fn on_signal() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Order matters: the hard exit looks at the flag before this same signal raises it.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.0.clone())?;
            signal_hook::flag::register(signal, stop.0.clone())?;
            interrupts_calls(signal)?;
        }
        Ok(stop)
    }

    /// Whether a signal came.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The signal library asks for interrupted calls to be made again (`SA_RESTART`). Here they must end instead: the wait
/// for a request may last as long as nobody uses the disk.
fn interrupts_calls(signal: i32) -> io::Result<()> {
    let checked = |result| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: all zeroes are a `sigaction`: numbers, and function pointers that may be absent.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: with no new action, the call only fills in `action`, which is a whole `sigaction`.
    checked(unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) })?;
    action.sa_flags &= !libc::SA_RESTART;
    // SAFETY: the action is the one in force, whose handler stays as good as it was; the flag that it loses only
    // decides what an interrupted system call returns. Nothing else in this program sets handlers meanwhile.
    checked(unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a thread of this process is in a read() (first field of `/proc/PID/task/TID/syscall`, proc(5)).
    fn reads(thread: rustix::thread::Pid) -> bool {
        let path = format!("/proc/self/task/{}/syscall", thread.as_raw_nonzero());
        let call = std::fs::read_to_string(path).expect("the thread is there");
        call.split(' ').next() == Some(&libc::SYS_read.to_string())
    }

    #[test]
    fn a_signal_ends_a_read_and_is_remembered() {
        let stop = Stop::on_signal().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        // SAFETY: pthread_self() only asks for the handle of this thread.
        let this = unsafe { libc::pthread_self() };
        let thread = rustix::thread::gettid();
        let sender = std::thread::spawn(move || {
            while !reads(thread) {
                std::thread::yield_now();
            }
            // SAFETY: the thread that `this` names joins this one before it ends, so the handle is good.
            unsafe { libc::pthread_kill(this, SIGHUP) }
        });
        let result = io::Read::read(&mut &reader, &mut [0]);
        assert_eq!(sender.join().unwrap(), 0);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(stop.asked());
    }
}
