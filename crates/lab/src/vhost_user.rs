// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtio devices that a program of their own serves, over vhost-user, to an unmodified QEMU.
//!
//! ```text
//! a guest            QEMU                          the backend, a child of ours
//! driver ──virtio──  frontend: PCI, configuration ──unix socket──  the device itself
//!    └────── virtqueues in the guest's memory, which both have mapped ──────┘
//! ```
//!
//! | type | what it is |
//! |---|---|
//! | [`Device`] | a device to be: which program serves it, with which options |
//! | [`Shape`] | what QEMU's side must know of it: id, queues, size of the configuration space |
//! | [`Frontend`] | QEMU's side: a character device that connects to the socket, and a PCI device behind a root port |
//! | [`Backend`] | the program, while a guest has the device: its process, its socket, its log |
//!
//! The lab knows no type of device: our own program says the shape of what it serves, and a user's is told with it.
//! The virtio id then decides who QEMU's side is. Those that QEMU has a frontend for get that one. All others get
//! the generic one, which QEMU has from 10.2 on; [`crate::qemu`] sees to that.
//!
//! A backend ends after its QEMU, and with the guest on every path: it is a [`Child`](crate::process::Child). One
//! that ends before is the guest's failure, whatever the guest is being asked at that moment, with the end of its log as
//! the cause; unless the test has killed it on purpose.

mod backend;
mod device;
mod frontend;
mod reach;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use backend::Backend;
pub(crate) use device::Plan;
pub use device::{Device, Shape};
pub use frontend::{Frontend, Reconnect};
pub(crate) use reach::Reach;

use crate::error::{Error, Kind, Result};

/// The backends of one guest.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    list: Mutex<Vec<Arc<Backend>>>,
}

impl Backends {
    pub(crate) fn add(&self, backend: Backend) {
        self.lock().push(Arc::new(backend));
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<Backend>> {
        let list = self.lock();
        list.iter().find(|backend| backend.name() == name).cloned().ok_or_else(|| {
            let names: Vec<&str> = list.iter().map(|backend| backend.name()).collect();
            let known = if names.is_empty() { "it has none".into() } else { names.join(", ") };
            Error::new(Kind::NotFound, format!("this guest has no device named {name} ({known})"))
        })
    }

    /// Forgets a backend, and ends it.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let mut list = self.lock();
        match list.iter().position(|backend| backend.name() == name) {
            Some(at) => list.remove(at).end(),
            None => Ok(()),
        }
    }

    /// An error with the cause if one of them has ended by itself.
    pub(crate) fn check(&self) -> Result<()> {
        self.lock().iter().try_for_each(|backend| backend.check())
    }

    /// The list is whole wherever a thread can panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Backend>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
