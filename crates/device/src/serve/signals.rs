// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals of the process: two to end it, one to ask it what it has counted.

use std::io;
use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::Stop;

/// Listens while it lives.
pub(super) struct Listening {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// SIGINT and SIGTERM stop the server; SIGUSR1 calls `report`.
    pub(super) fn new(stop: Stop, report: impl Fn() + Send + 'static) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
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

impl Drop for Listening {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that takes signals has panicked");
        }
    }
}
