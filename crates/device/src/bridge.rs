// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes between a guest's queues and a program of the host, which connects to a unix socket.
//!
//! ```text
//! queue to the guest   <── pipe, up to `capacity` bytes <──┐
//!                                                          ├── one thread ── socket ── a program, one at a time
//! queue from the guest ──> pipe, up to `capacity` bytes ──>┘
//! ```
//!
//! Each pipe has a queue's thread at one end and the bridge's own at the other. Who finds a pipe full or empty leaves, and
//! is woken when that has changed: a queue by its [`Waker`], the bridge by one of its own. Nobody waits under
//! the lock, and what is done under it is bounded by `capacity`.
//!
//! The pipes belong to the device and not to a connection, so a guest that is reset, or a QEMU that is started
//! anew, finds what it has not read yet. Programs come one after the other: the next waits until the one before has gone.
//! A program that has only finished sending is still there, and still receives.

mod host;
mod moments;
mod pipe;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use self::moments::{Moment, Moments};
use self::pipe::Pipe;
use crate::chain::{Readable, Writable};
use crate::device::Waker;
use crate::error::{Error, Result};
use crate::serve::Socket;

/// What becomes of the guest's bytes when the pipe is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// They wait with the guest.
    Waits,
    /// The oldest make room: for a guest that must never wait, with or without a program that listens.
    Forgets,
}

/// Which of the device's queues is to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// When there are bytes for the guest.
    ToGuest,
    /// When there is room for the guest's bytes.
    FromGuest,
    /// When there is a [`Moment`] to tell.
    Moments,
}

/// What the two threads share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the bridge.
    host: Waker,
    ends: AtomicBool,
}

#[derive(Debug)]
struct State {
    to_guest: Pipe,
    from_guest: Pipe,
    full: Full,
    moments: Moments,
    /// By [`Side`].
    guest: [Option<Waker>; 3],
}

impl State {
    fn wake(&self, side: Side) {
        if let Some(waker) = &self.guest[side as usize] {
            waker.wake();
        }
    }
}

impl Shared {
    /// The state is whole wherever a thread can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pipes, as a device's handlers see them. Without [`open`](Self::open) no program can connect.
#[derive(Debug)]
pub struct Bridge {
    shared: Arc<Shared>,
    open: Mutex<Option<Open>>,
}

/// A bridge that programs can connect to. The thread ends first, then the socket goes.
#[derive(Debug)]
struct Open {
    thread: Option<JoinHandle<()>>,
    _socket: Socket,
}

impl Bridge {
    /// Two empty pipes that hold so many bytes each.
    pub fn new(capacity: usize, full: Full, moments_kept: usize) -> Result<Self> {
        let state = State {
            to_guest: Pipe::new(capacity),
            from_guest: Pipe::new(capacity),
            full,
            moments: Moments::new(moments_kept),
            guest: [const { None }; 3],
        };
        let shared = Shared { state: Mutex::new(state), host: Waker::new()?, ends: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared), open: Mutex::new(None) })
    }

    /// Listens at this path from now on, for this user alone.
    pub fn open(&self, path: &Path) -> Result<()> {
        let (socket, listener) = Socket::bind(path)?;
        listener.set_nonblocking(true).map_err(Error::system("cannot use the socket"))?;
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name("bridge".into())
            .spawn(move || host::run(&shared, &listener))
            .map_err(Error::system("cannot start a thread"))?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Open { thread: Some(thread), _socket: socket });
        Ok(())
    }

    /// Wakes this queue from now on.
    pub fn watch(&self, side: Side, waker: Waker) {
        self.shared.lock().guest[side as usize] = Some(waker);
    }

    /// Moves what there is for the guest, as much as there is room for; gives the number of bytes.
    pub fn give(&self, to: &mut Writable<'_>) -> usize {
        let mut state = self.shared.lock();
        let was_full = state.to_guest.room() == 0;
        let given = state.to_guest.pop_to(to);
        if given > 0 {
            if was_full {
                self.shared.host.wake();
            }
            // What was told to come after these bytes may be due.
            state.wake(Side::Moments);
        }
        given
    }

    /// Takes the guest's bytes. All of them if the pipe ever holds so many at once: then all or none. Of more than that, as
    /// many as there is room for. Gives their number.
    pub fn take(&self, from: &mut Readable<'_>) -> usize {
        let mut state = self.shared.lock();
        let state = &mut *state;
        let wanted = from.len();
        if state.full == Full::Forgets {
            state.from_guest.make_room(wanted);
        }
        let fits_in_one = wanted <= state.from_guest.capacity();
        if fits_in_one && wanted > state.from_guest.room() {
            return 0;
        }
        if !fits_in_one && state.full == Full::Forgets {
            // Only its end would be left.
            let skipped = wanted - state.from_guest.capacity();
            if let Ok((_, end)) = from.split_at(skipped) {
                *from = end;
            }
            state.from_guest.forgotten += skipped as u64;
        }
        let taken = state.from_guest.push_from(from);
        if taken > 0 {
            self.shared.host.wake();
        }
        wanted - from.len()
    }

    /// What the guest has not been told yet, if it is due: what a program sent before it went comes first.
    pub fn next_moment(&self) -> Option<(Moment, u32)> {
        let mut state = self.shared.lock();
        let read = state.to_guest.popped();
        state.moments.next(read)
    }

    /// Bytes of the guest that were forgotten, so far.
    pub fn forgotten(&self) -> u64 {
        self.shared.lock().from_guest.forgotten
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of a bridge has panicked");
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        self.shared.host.wake();
    }
}
