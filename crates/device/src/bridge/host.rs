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
    /// It takes no more, though it may well send more: a program can close its socket for reading alone.
    deaf: bool,
    /// Both, says poll, and would say so again and again. What it sent before may still be there to be read.
    hung_up: bool,
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
        Ok(Self {
            shared,
            peer,
            finished: false,
            deaf: false,
            hung_up: false,
            sent: 0,
            piece: vec![0; PIECE],
        })
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
        self.finished && (self.deaf || self.hung_up) || self.shared.ends.load(Ordering::SeqCst)
    }

    /// Until there is something to do.
    fn wait(&mut self) -> io::Result<()> {
        let (room, bytes) = {
            let state = self.shared.lock();
            (state.to_guest.room() > 0, !state.from_guest.is_empty())
        };
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, room && !self.finished);
        wanted.set(PollFlags::OUT, bytes && !self.deaf);
        if self.hung_up && room {
            // What it sent before is there, or its end is: nothing to wait for.
            return Ok(());
        }
        let mut fds = [PollFd::new(&self.shared.host, PollFlags::IN), PollFd::new(&self.peer, wanted)];
        let fds = if self.hung_up { &mut fds[..1] } else { &mut fds[..] };
        poll_once(fds)?;
        self.hung_up |= fds.get(1).is_some_and(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR));
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
                self.hung_up = true;
            }
        }
    }

    fn send(&mut self) {
        let mut state = self.shared.lock();
        if self.deaf || self.hung_up || state.from_guest.is_empty() {
            return;
        }
        // A socket that does not block: the copy is bounded by its buffer.
        match state.from_guest.pop_into(&mut &self.peer) {
            Ok(_) => state.wake(Side::FromGuest),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // What is left stays for the next program.
            Err(_) => self.deaf = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{Bridge, Full};
    use std::io::Write;
    use std::net::Shutdown;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    #[test]
    fn a_program_that_only_sends_is_waited_for() {
        let bridge = Bridge::new(64, Full::Waits, 4).unwrap();
        let (peer, mut program) = UnixStream::pair().unwrap();
        let mut talk = Talk::new(&bridge.shared, peer).unwrap();
        bridge.shared.lock().from_guest.push(b"for nobody");
        program.shutdown(Shutdown::Read).unwrap();
        talk.send();
        assert!(talk.deaf && !talk.is_over());
        std::thread::scope(|scope| {
            let (woke, wakes) = channel();
            let waits = scope.spawn(move || {
                let waited = talk.wait();
                woke.send(()).unwrap();
                waited.unwrap();
                talk.receive();
                talk
            });
            let still = wakes.recv_timeout(Duration::from_millis(300));
            assert_eq!(still, Err(RecvTimeoutError::Timeout), "there was nothing to wake it");
            program.write_all(b"x").unwrap();
            wakes.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(waits.join().unwrap().sent, 1);
        });
        let kept = bridge.shared.lock().from_guest.pushed();
        assert_eq!(kept, 10, "what it did not take is for the next one");
    }

    #[test]
    fn a_program_that_sends_and_goes_at_once_is_heard_to_its_end() {
        let bridge = Bridge::new(2, Full::Waits, 4).unwrap();
        let (peer, mut program) = UnixStream::pair().unwrap();
        let mut talk = Talk::new(&bridge.shared, peer).unwrap();
        program.write_all(b"abc").unwrap();
        drop(program);
        talk.wait().unwrap();
        talk.receive();
        assert!(talk.hung_up && !talk.is_over());
        let mut out = Vec::new();
        bridge.shared.lock().to_guest.pop_into(&mut out).unwrap();
        talk.wait().unwrap();
        talk.receive();
        bridge.shared.lock().to_guest.pop_into(&mut out).unwrap();
        talk.wait().unwrap();
        talk.receive();
        assert!(talk.is_over());
        assert_eq!(out, b"abc");
    }
}
