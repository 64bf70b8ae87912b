// SPDX-License-Identifier: MIT OR Apache-2.0
//! A virtio-serial port as a reader and a writer.
//!
//! The driver's blocking write spins with interrupts off until the other side has taken the bytes, so the
//! port is opened non-blocking and the waiting is done with epoll and poll. A port knows whether anybody is
//! connected at the host's end: a read then gives 0, which is a hang-up, not the end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::fs::OFlags;

use crate::error::{Context, Error};

/// Opens the port that QEMU calls `name`: its reader, and what makes writers.
pub fn open(name: &str) -> Result<(Reader, Port), Error> {
    let path = find(name)?;
    let what = || format!("cannot open the port {} ({name})", path.display());
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).write(true).custom_flags(flags).open(&path).context(what)?;
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC).context(what)?;
    // Edge-triggered: the hang-up of an unconnected port would otherwise be reported without end.
    let events = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ET;
    epoll::add(&watch, &file, epoll::EventData::new_u64(0), events).context(what)?;
    let writer = file.try_clone().context(what)?;
    Ok((Reader { file, watch }, Port { file: Arc::new(Mutex::new(writer)), turn: Arc::default() }))
}

fn find(name: &str) -> Result<PathBuf, Error> {
    let ports = "/sys/class/virtio-ports";
    for entry in std::fs::read_dir(ports).context(|| format!("cannot list {ports}"))?.flatten() {
        let said = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if said.trim_end() == name {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    Err(Error::other(format!("QEMU offers no port {name}"), format!("no entry of {ports} has that name")))
}

/// The receiving half.
pub struct Reader {
    file: File,
    watch: OwnedFd,
}

impl Reader {
    /// Waits for bytes; 0 means that the host's end has hung up, or has yet to connect.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Waits until something happens on the port: bytes, somebody connects, somebody leaves.
    pub fn wait(&self) -> io::Result<()> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        match epoll::wait(&self.watch, &mut events, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// The sending half, of which each conversation gets a [`Writer`].
#[derive(Clone)]
pub struct Port {
    file: Arc<Mutex<File>>,
    turn: Arc<AtomicU64>,
}

impl Port {
    /// A writer for a new conversation; those of earlier ones can write no more.
    pub fn writer(&self) -> Writer {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        Writer { port: self.clone(), turn }
    }
}

/// Sends for one conversation.
pub struct Writer {
    port: Port,
    turn: u64,
}

impl Write for Writer {
    /// Writes all of it, or fails: frames of two conversations must not mix.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.port.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = bytes;
        while !left.is_empty() {
            if self.port.turn.load(Ordering::SeqCst) != self.turn {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "another conversation has begun"));
            }
            match file.write(left) {
                Ok(n) => left = &left[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait_writable(&file)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wait_writable(file: &File) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)];
    match poll(&mut fds, None) {
        Ok(_) if fds[0].revents().contains(PollFlags::HUP) => {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "the lab has left"))
        }
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
