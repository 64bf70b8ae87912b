// SPDX-License-Identifier: MIT OR Apache-2.0
//! A virtio-serial port as a reader and a writer.
//!
//! The driver's blocking write spins with interrupts off until the other side has taken the bytes, so the
//! port is opened non-blocking and all waiting is done with epoll. A port knows whether anybody is connected
//! at the host's end, but that news comes on another queue than the data: a greeting may be read while the
//! port still counts as unconnected, and the hang-up of the last visitor may come to notice after the
//! greeting of the next. So only a port that *stays* unconnected for [`GRACE`] has been left, and a writer just
//! waits until it can write or its conversation has been ended.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::OFlags;

use crate::error::{Context, Error};

/// Opens the port that QEMU calls `name`: its reader, and what makes writers.
pub fn open(name: &str) -> Result<(Reader, Port), Error> {
    let path = find(name)?;
    let what = || format!("cannot open the port {} ({name})", path.display());
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).write(true).custom_flags(flags).open(&path).context(what)?;
    let sender = Sender {
        watch: Watch::new(&file, EventFlags::OUT).context(what)?,
        file: file.try_clone().context(what)?,
    };
    let watch = Watch::new(&file, EventFlags::IN).context(what)?;
    Ok((Reader { file, watch }, Port { sender: Arc::new(Mutex::new(sender)), turn: Arc::default() }))
}

/// How long a port must be unconnected to have been left.
const GRACE: Duration = Duration::from_millis(300);
/// How often a writer that waits looks whether its conversation goes on.
const TICK: Duration = Duration::from_millis(100);

/// Waits for changes of the port. Edge-triggered: the hang-up of an unconnected port would otherwise be
/// reported without end.
struct Watch(OwnedFd);

impl Watch {
    fn new(file: &File, event: EventFlags) -> io::Result<Self> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&watch, file, EventData::new_u64(0), event | EventFlags::HUP | EventFlags::ET)?;
        Ok(Self(watch))
    }

    /// Waits until something changes, at most this long.
    fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        let limit =
            limit.map(|l| Timespec { tv_sec: l.as_secs().cast_signed(), tv_nsec: l.subsec_nanos().into() });
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        match epoll::wait(&self.0, &mut events, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
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

/// What comes from a port.
pub enum Arrival {
    /// So many bytes.
    Bytes(usize),
    /// Nobody is connected any more.
    Left,
}

/// The receiving half.
pub struct Reader {
    file: File,
    watch: Watch,
}

impl Reader {
    /// Waits for bytes. With `connected`, somebody has been there who may leave; without, whoever comes is waited
    /// for as long as it takes.
    pub fn read(&mut self, buffer: &mut [u8], connected: bool) -> io::Result<Arrival> {
        let mut left_at: Option<Instant> = None;
        loop {
            match self.file.read(buffer) {
                Ok(0) if connected => {
                    let patience = GRACE.saturating_sub(left_at.get_or_insert_with(Instant::now).elapsed());
                    if patience.is_zero() {
                        return Ok(Arrival::Left);
                    }
                    self.watch.wait(Some(patience))?;
                }
                Ok(0) => self.watch.wait(None)?,
                Ok(n) => return Ok(Arrival::Bytes(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    left_at = None;
                    self.watch.wait(None)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The sending half, of which each conversation gets a [`Writer`].
#[derive(Clone)]
pub struct Port {
    sender: Arc<Mutex<Sender>>,
    turn: Arc<AtomicU64>,
}

struct Sender {
    file: File,
    watch: Watch,
}

impl Port {
    /// A writer for a new conversation; those of earlier ones can write no more.
    pub fn writer(&self) -> Writer {
        Writer { port: self.clone(), turn: self.silence() }
    }

    /// Ends the writers there are.
    pub fn silence(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::SeqCst) + 1
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
        let mut sender = self.port.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = bytes;
        while !left.is_empty() {
            if self.port.turn.load(Ordering::SeqCst) != self.turn {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the conversation has ended"));
            }
            match sender.file.write(left) {
                Ok(n) => left = &left[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => sender.watch.wait(Some(TICK))?,
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
