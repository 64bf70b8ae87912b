// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread at the host's end: programs that connect, and their bytes.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};

use super::{Shared, Side};

/// How many bytes are read in one go.
const PIECE: usize = 64 << 10;

/// Serves one program after the other, until the bridge ends.
pub(super) fn run(shared: &Shared, listener: &UnixListener) {
    while !shared.ends.load(Ordering::SeqCst) {
        let served = match listener.accept() {
            Ok((peer, _)) => Talk::new(shared, peer).and_then(Talk::serve),
            Err(e) if e.kind() == ErrorKind::WouldBlock => wait(shared, listener),
            Err(e) if e.kind() == ErrorKind::Interrupted || e.kind() == ErrorKind::ConnectionAborted => {
                Ok(())
            }
            Err(e) => Err(e),
        };
        if let Err(error) = served {
            tracing::error!("nobody can connect to the device's host side any more: {error}");
            return;
        }
    }
}

/// Until a program connects, or the bridge ends.
fn wait(shared: &Shared, listener: &UnixListener) -> io::Result<()> {
    let mut fds = [PollFd::new(&shared.host, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
    poll_once(&mut fds)?;
    shared.host.take();
    Ok(())
}

fn poll_once(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    match poll(fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// A program that is connected.
struct Talk<'s> {
    shared: &'s Shared,
    peer: UnixStream,
    /// It sends no more.
    finished: bool,
    /// It receives no more.
    gone: bool,
    sent: u64,
    piece: Vec<u8>,
}

impl<'s> Talk<'s> {
    fn new(shared: &'s Shared, peer: UnixStream) -> io::Result<Self> {
        peer.set_nonblocking(true)?;
        let mut state = shared.lock();
        state.moments.open();
        state.wake(Side::Moments);
        drop(state);
        Ok(Self { shared, peer, finished: false, gone: false, sent: 0, piece: vec![0; PIECE] })
    }

    /// Until it has gone and all that it sent is in the pipe.
    fn serve(mut self) -> io::Result<()> {
        while !self.is_over() {
            self.wait()?;
            self.receive();
            self.send();
        }
        let mut state = self.shared.lock();
        let pushed = state.to_guest.pushed();
        state.moments.close(self.sent, pushed);
        state.wake(Side::Moments);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.finished && self.gone || self.shared.ends.load(Ordering::SeqCst)
    }

    /// Until there is something to do.
    fn wait(&mut self) -> io::Result<()> {
        let (room, bytes) = {
            let state = self.shared.lock();
            (state.to_guest.room() > 0, !state.from_guest.is_empty())
        };
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, room && !self.finished);
        wanted.set(PollFlags::OUT, bytes && !self.gone);
        if self.gone && room {
            // What it sent before is there, or its end is: nothing to wait for.
            return Ok(());
        }
        let mut fds = [PollFd::new(&self.shared.host, PollFlags::IN), PollFd::new(&self.peer, wanted)];
        // A program that has gone would be told again and again.
        let fds = if self.gone { &mut fds[..1] } else { &mut fds[..] };
        poll_once(fds)?;
        let gone = fds.get(1).is_some_and(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR));
        self.gone |= gone;
        self.shared.host.take();
        Ok(())
    }

    fn receive(&mut self) {
        // Only this thread fills the pipe: there will be no less room than now.
        let room = self.shared.lock().to_guest.room().min(PIECE);
        if self.finished || room == 0 {
            return;
        }
        match self.peer.read(&mut self.piece[..room]) {
            Ok(0) => self.finished = true,
            Ok(n) => {
                self.sent += n as u64;
                let mut state = self.shared.lock();
                state.to_guest.push(&self.piece[..n]);
                state.wake(Side::ToGuest);
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => {
                // Whatever it was, there is no more to come.
                self.finished = true;
                self.gone = true;
            }
        }
    }

    fn send(&mut self) {
        let mut state = self.shared.lock();
        if self.gone || state.from_guest.is_empty() {
            return;
        }
        // A socket that does not block: the copy is bounded by its buffer.
        match state.from_guest.pop_into(&mut &self.peer) {
            Ok(_) => state.wake(Side::FromGuest),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // What is left stays for the next program.
            Err(_) => self.gone = true,
        }
    }
}
