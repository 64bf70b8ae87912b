// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serving a device at a socket: one connection after the other, until told to end.
//!
//! A front end that goes away (a guest that was shut down, a QEMU that was killed) ends its connection, not the device:
//! the next one finds what the device keeps as it was. One connection is served at a time, and all of it is gone (its
//! threads, its map of the guest's memory) before the next one begins.
//!
//! # How it ends
//!
//! At SIGINT, SIGTERM, SIGHUP or [`Stop::stop`] the queues are made quiet *first*: each finishes and gives back what it has under
//! way, and then touches its ring no more. Only then is the connection closed. The order matters, as QEMU reads the
//! rings when it sees the connection close ([`crate::queue`] tells why), and so may a backend that takes over.

mod backend;
mod signals;
mod socket;
mod stop;

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, poll};
use vhost::vhost_user::{Error as ProtocolError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserDaemon};
use vm_memory::GuestMemoryAtomic;

use self::backend::Backend;
use self::signals::Listening;
pub(crate) use self::socket::Socket;
pub use self::stop::Stop;
use crate::Memory;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::metrics::{self, Figure, QueueCounters};
use crate::spec::DeviceSpec;
use crate::trace::{TraceOptions, Tracer};

/// The most queues of a device: the library keeps sets of them in 64 bits.
pub const MAX_QUEUES: usize = 64;

/// The most entries of a queue that a front end may ask for.
pub const MAX_QUEUE_SIZE: u16 = 1024;

/// How a device is served.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where the front end connects.
    pub socket: PathBuf,
    /// Whether requests are traced.
    pub trace: Option<TraceOptions>,
}

/// What was counted so far, whenever it is asked.
type Report = Box<dyn Fn() -> Vec<Figure> + Send + Sync>;

/// Makes the device of a description and serves it until SIGINT, SIGTERM or SIGHUP. SIGUSR1 prints what was counted to stderr.
pub fn run(spec: &DeviceSpec, options: &ServeOptions) -> Result<()> {
    let device = spec.make()?;
    let stop = Stop::new()?;
    // Before the socket is there: whoever sees that may send a signal at once, and it must not be lost.
    let report: Arc<OnceLock<Report>> = Arc::default();
    let asked = report.clone();
    let tell = move || {
        if let Some(report) = asked.get() {
            eprintln!("{}", metrics::line(&report()));
        }
    };
    let _listening = Listening::new(stop.clone(), tell).map_err(Error::system("cannot take signals"))?;
    let server = Server::new(device, options)?;
    // It is set once, here.
    let _ = report.set(Box::new(server.reporter()));
    server.serve(&stop)
}

/// Serves a device until told to stop.
pub fn serve(device: Arc<dyn Device>, options: &ServeOptions, stop: &Stop) -> Result<()> {
    Server::new(device, options)?.serve(stop)
}

/// A device that listens.
pub struct Server {
    device: Arc<dyn Device>,
    counters: Vec<Arc<QueueCounters>>,
    tracer: Option<Arc<Tracer>>,
    listener: UnixListener,
    _socket: Socket,
}

impl Server {
    /// Listens, and starts the device. Connections wait until [`serve`](Self::serve).
    pub fn new(device: Arc<dyn Device>, options: &ServeOptions) -> Result<Self> {
        let tracer = options.trace.as_ref().map(Tracer::new).transpose()?.map(Arc::new);
        let counters = (0..device.queues().min(MAX_QUEUES)).map(|_| Arc::default()).collect();
        let (socket, listener) = Socket::bind(&options.socket)?;
        device.start(&options.socket)?;
        Ok(Self { device, counters, tracer, listener, _socket: socket })
    }

    /// What was counted so far, whenever it is called.
    pub fn reporter(&self) -> impl Fn() -> Vec<Figure> + Send + Sync + 'static {
        let (device, counters) = (self.device.clone(), self.counters.clone());
        move || {
            let queues = counters.iter().enumerate().flat_map(|(queue, counters)| counters.figures(queue));
            device.figures().into_iter().chain(queues).collect()
        }
    }

    /// Serves one connection after the other, until told to stop.
    pub fn serve(self, stop: &Stop) -> Result<()> {
        let mut listener =
            Listener::from(self.listener.try_clone().map_err(Error::system("cannot use the socket"))?);
        while self.somebody_connects(stop)? {
            tracing::info!("{}: a front end has connected", self.device.name());
            self.connection(&mut listener, stop)?;
            tracing::info!(
                "{}: the front end has gone: {}",
                self.device.name(),
                metrics::line(&self.reporter()())
            );
        }
        Ok(())
    }

    /// Waits for a connection, or until told to stop.
    fn somebody_connects(&self, stop: &Stop) -> Result<bool> {
        let event = stop.event();
        loop {
            if stop.told() {
                return Ok(false);
            }
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&event, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(true),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::system("cannot wait for a connection")(e)),
            }
        }
    }

    /// Serves the connection that waits.
    fn connection(&self, listener: &mut Listener, stop: &Stop) -> Result<()> {
        let memory = GuestMemoryAtomic::new(Memory::new());
        let backend = Backend::new(&self.device, memory.clone(), &self.counters, self.tracer.as_ref())?;
        let backend = Arc::new(backend);
        let name = format!("{} protocol", self.device.name());
        let mut daemon = VhostUserDaemon::new(name, backend.clone(), memory).map_err(vhost)?;
        backend.listen(&daemon.get_epoll_handlers())?;
        daemon.start(listener).map_err(vhost)?;
        if let Some(connection) = daemon.shutdown_handle() {
            let backend = backend.clone();
            stop.connected(move || {
                backend.quiesce();
                connection.shutdown();
            });
        }
        let ended = daemon.wait();
        stop.disconnected();
        backend.abandon();
        if let Err(error) = ended
            && !expected(&error)
        {
            tracing::warn!("the connection was ended: {error}");
        }
        Ok(())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("device", &self.device.name()).finish_non_exhaustive()
    }
}

fn vhost(error: DaemonError) -> Error {
    Error::Vhost(error.to_string())
}

/// A front end need not say goodbye.
fn expected(error: &DaemonError) -> bool {
    use ProtocolError::{Disconnected, PartialMessage, SocketBroken};
    matches!(error, DaemonError::HandleRequest(Disconnected | PartialMessage | SocketBroken(_)))
}

/// `size` bytes of the configuration space from `offset` on; beyond its end there are zeroes.
fn config_bytes(config: &[u8], offset: u32, size: u32) -> Vec<u8> {
    let tail = config.get(offset as usize..).unwrap_or_default();
    let mut bytes = tail[..tail.len().min(size as usize)].to_vec();
    bytes.resize(size as usize, 0);
    bytes
}
