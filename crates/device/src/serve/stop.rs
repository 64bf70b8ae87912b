// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a server is told to end, by a signal or by a program.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::Waker;
use crate::error::Result;

type EndConnection = Box<dyn Fn() + Send>;

/// Ends a server. Its clones end the same one; it stays ended.
#[derive(Clone)]
pub struct Stop(Arc<Inner>);

struct Inner {
    told: AtomicBool,
    /// Ends the wait for a connection.
    event: Waker,
    /// Ends the connection that there is.
    end: Mutex<Option<EndConnection>>,
}

impl Stop {
    /// For a server to be.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            told: AtomicBool::new(false),
            event: Waker::new()?,
            end: Mutex::new(None),
        })))
    }

    /// Tells the server to end: it finishes what is under way, and [`serve`](super::serve) returns.
    pub fn stop(&self) {
        self.0.told.store(true, Ordering::SeqCst);
        self.0.event.wake();
        if let Some(end) = &*self.end() {
            end();
        }
    }

    /// Whether it was told.
    pub fn told(&self) -> bool {
        self.0.told.load(Ordering::SeqCst)
    }

    /// Becomes readable when it is told.
    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }

    /// There is a connection, which this ends; at once, if the server was told before.
    pub(super) fn connected(&self, end: impl Fn() + Send + 'static) {
        let mut slot = self.end();
        if self.told() {
            end();
        }
        *slot = Some(Box::new(end));
    }

    /// There is none any more. What would have ended it is dropped.
    pub(super) fn disconnected(&self) {
        *self.end() = None;
    }

    fn end(&self) -> std::sync::MutexGuard<'_, Option<EndConnection>> {
        self.0.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop").field("told", &self.told()).finish_non_exhaustive()
    }
}
