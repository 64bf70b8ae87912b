// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals of the process: three to end it, one to ask it what it has counted.

use std::io;
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::Stop;

/// Listens while it lives.
pub(super) struct Listening {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// SIGINT, SIGTERM and SIGHUP (the terminal has been closed) stop the server, each unless whoever started us has it
    /// ignored, as `nohup` does SIGHUP; SIGUSR1 calls `report`.
    pub(super) fn new(stop: Stop, report: impl Fn() + Send + 'static) -> io::Result<Self> {
        let ends = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !ignored(*signal));
        let mut signals = Signals::new(ends.chain([SIGUSR1]))?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGUSR1 => report(),
                    _ => stop.stop(),
                }
            }
        })?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

/// Whether this process ignores the signal, by what the kernel says: the C library tells only whoever sets another
/// action.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that takes signals has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, getpid, kill_process};

    #[test]
    fn a_terminal_that_closes_stops_the_server() {
        // Under `nohup` it must not.
        if ignored(SIGHUP) {
            return;
        }
        let stop = Stop::new().unwrap();
        let _listening = Listening::new(stop.clone(), || {}).unwrap();
        kill_process(getpid(), Signal::HUP).unwrap();
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        poll(&mut [PollFd::new(&stop.event(), PollFlags::IN)], Some(&limit)).unwrap();
        assert!(stop.told());
    }
}
