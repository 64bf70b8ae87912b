// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other end of the socket: what QEMU does, with the mock driver as its guest.

use std::path::Path;
use std::time::{Duration, Instant};

use blockyard_device::MemoryHold;
use blockyard_device::mock::{Driver, Used};
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// What this driver knows: version 1, indirect tables, event indices, and the protocol's features.
const RINGS: u64 = 1 << 32 | 1 << 29 | 1 << 28 | PROTOCOL_FEATURES;
/// `VHOST_USER_F_PROTOCOL_FEATURES`.
const PROTOCOL_FEATURES: u64 = 1 << 30;
const LIMIT: Duration = Duration::from_secs(20);

/// A connection, with queue 0 running.
pub struct FrontEnd {
    frontend: Frontend,
    kick: EventFd,
    call: EventFd,
}

impl FrontEnd {
    /// Connects, and starts the queue where the driver's used ring says, as QEMU does after a backend has gone away.
    pub fn connect(socket: &Path, driver: &Driver, memory: &MemoryHold) -> Self {
        let mut frontend = connect(socket);
        frontend.set_owner().unwrap();
        let features = frontend.get_features().unwrap() & RINGS;
        frontend.set_features(features).unwrap();
        let wanted = VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::MQ;
        assert!(frontend.get_protocol_features().unwrap().contains(wanted));
        frontend.set_protocol_features(wanted).unwrap();
        assert_ne!(features & PROTOCOL_FEATURES, 0);
        let regions: Vec<_> = memory
            .iter()
            .map(|region| VhostUserMemoryRegionInfo::from_guest_region(region).unwrap())
            .collect();
        frontend.set_mem_table(&regions).unwrap();
        let event = || EventFd::new(EFD_NONBLOCK).unwrap();
        let mut front_end = Self { frontend, kick: event(), call: event() };
        front_end.start(driver, memory);
        front_end
    }

    /// Starts the queue, for the first time or after a [`stop`](Self::stop).
    pub fn start(&mut self, driver: &Driver, memory: &MemoryHold) {
        let frontend = &mut self.frontend;
        frontend.set_vring_num(0, driver.size()).unwrap();
        frontend.set_vring_base(0, driver.used_idx()).unwrap();
        frontend.set_vring_addr(0, &ring(driver, memory)).unwrap();
        frontend.set_vring_kick(0, &self.kick).unwrap();
        frontend.set_vring_call(0, &self.call).unwrap();
        frontend.set_vring_enable(0, true).unwrap();
    }

    /// Tells the device of new chains.
    pub fn kick(&self) {
        self.kick.write(1).unwrap();
    }

    /// Waits until so many messages have come back.
    pub fn wait(&self, driver: &mut Driver, messages: usize) -> Vec<Used> {
        let mut used = Vec::new();
        let deadline = Instant::now() + LIMIT;
        loop {
            used.extend(std::iter::from_fn(|| driver.used()));
            // From here on a notification is due for the next one.
            driver.set_used_event(driver.used_idx());
            used.extend(std::iter::from_fn(|| driver.used()));
            if used.len() >= messages {
                return used;
            }
            assert!(Instant::now() < deadline, "{} of {messages} messages are back", used.len());
            self.notified(Duration::from_secs(1));
        }
    }

    /// Waits for a notification. Tells whether there was one.
    pub fn notified(&self, limit: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // SAFETY: the descriptor is the event's, which outlives the call.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&self.call)) };
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0);
        ready && self.call.read().is_ok()
    }

    /// The configuration space.
    pub fn config(&mut self, size: u32) -> Vec<u8> {
        let flags = VhostUserConfigFlags::empty();
        self.frontend.get_config(0, size, flags, &vec![0; size as usize]).unwrap().1
    }

    /// Stops the queue; gives the index from which it would go on.
    pub fn stop(&self) -> u16 {
        self.frontend.get_vring_base(0).unwrap() as u16
    }
}

/// The backend may still be about to listen.
fn connect(socket: &Path) -> Frontend {
    let deadline = Instant::now() + LIMIT;
    loop {
        match std::os::unix::net::UnixStream::connect(socket) {
            Ok(stream) => return Frontend::from_stream(stream, 1),
            Err(e) => assert!(Instant::now() < deadline, "{}: {e}", socket.display()),
        }
        std::thread::yield_now();
    }
}

/// Where the rings are in this process, which is how a front end names them.
fn ring(driver: &Driver, memory: &MemoryHold) -> VringConfigData {
    let first = memory.iter().next().unwrap();
    let here = |address| first.get_host_address(vm_memory::MemoryRegionAddress(address)).unwrap() as u64;
    let (table, avail, used) = driver.addresses();
    VringConfigData {
        queue_max_size: driver.size(),
        queue_size: driver.size(),
        flags: 0,
        desc_table_addr: here(table),
        used_ring_addr: here(used),
        avail_ring_addr: here(avail),
        log_addr: None,
    }
}
