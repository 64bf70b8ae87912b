// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest that runs: a value that answers, and that ends its machine when it is dropped.
//!
//! | type | who has it | what it can |
//! |---|---|---|
//! | [`Session`] | whoever talks to the agent | commands, files, modules, the kernel log |
//! | [`Guest`] | the process that booted it | all of that, and hot plug, the backends of its devices, the console, the end with its verdict |
//! | [`Visit`] | any other process of the same user | what a session can |
//!
//! Every wait here ends: with the answer, at its deadline, at Ctrl-C, or because the machine died, and then with
//! the cause by name ([`vitals`]).

mod command;
mod console;
mod devices;
mod drives;
mod files;
mod hotplug;
mod log;
mod modules;
mod session;
mod verdict;
mod visit;
pub(crate) mod vitals;

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

pub use command::{Command, Output, Running, Status, To};
pub use console::Left;
pub use devices::Backend;
pub use drives::Reached;
pub use session::Session;
pub use verdict::Report;
pub use visit::Visit;

use crate::accel::Engine;
use crate::machine::Slots;
use crate::qmp::Qmp;
use crate::registry::Claim;
use crate::rootfs::Rootfs;
use crate::version::Version;
use crate::vhost_user::{Backends, Reach};
use log::KernelLog;

/// A guest that this process booted. Fields are in the order in which they must go.
#[derive(Debug)]
pub struct Guest {
    log: KernelLog,
    session: Session,
    qmp: Mutex<Option<Qmp>>,
    slots: Mutex<Slots>,
    reach: Reach,
    // QEMU, which the session's end ends, complains of a backend that goes first.
    backends: Arc<Backends>,
    allowed: Vec<crate::klog::Allow>,
    checked_kernel: bool,
    // Files of the runtime folder are QEMU's until QEMU is gone, which the session's end sees to.
    claim: Claim,
    _rootfs: Rootfs,
}

/// What [`Guest`] is made of, once the agent has answered.
pub(crate) struct Parts {
    pub session: Session,
    pub slots: Slots,
    pub reach: Reach,
    pub backends: Arc<Backends>,
    pub allowed: Vec<crate::klog::Allow>,
    pub checked_kernel: bool,
    pub claim: Claim,
    pub rootfs: Rootfs,
}

impl Guest {
    pub(crate) fn new(parts: Parts) -> crate::Result<Self> {
        let Parts { session, slots, reach, backends, allowed, checked_kernel, claim, rootfs } = parts;
        let log = KernelLog::follow(&session, &allowed)?;
        let (qmp, slots) = (Mutex::new(None), Mutex::new(slots));
        Ok(Self {
            log,
            session,
            qmp,
            slots,
            reach,
            backends,
            allowed,
            checked_kernel,
            claim,
            _rootfs: rootfs,
        })
    }

    /// Its name, by which other processes visit it.
    pub fn name(&self) -> &str {
        self.claim.name()
    }

    /// What its processor runs under.
    pub fn accel(&self) -> Engine {
        self.session.engine()
    }

    /// The version of its QEMU, which need not be the system's.
    pub fn qemu_version(&self) -> crate::Result<Version> {
        let said = self.with_qmp(|qmp| qmp.execute("query-version", serde_json::json!({})))?;
        let number =
            |name: &str| said["qemu"][name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Ok(Version::new(number("major"), number("minor"), number("micro")))
    }

    /// The process number of its QEMU.
    pub fn qemu_pid(&self) -> u32 {
        self.session.vitals().qemu_pid()
    }
}

impl Deref for Guest {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// The states behind the guest's locks are whole wherever a thread can panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
