// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtio devices that programs of their own serve: in and out of a running guest, and what happens to the programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use blockyard_proto::{Presence, Request};
use serde_json::json;

use super::hotplug::{LIMIT, may_be_there};
use super::{Guest, lock};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::qemu::port_address;
use crate::vhost_user::{self, Device, Frontend};

/// Virtio ids that the kernel has drivers for built in: a device of theirs is there when its driver has taken it.
const DRIVEN: [u16; 3] = [2, 3, 4];

impl Guest {
    /// Plugs a device in and waits until the guest has it, its driver included if it is one of the kernel's own; gives the
    /// name by which [`device`](Self::device) finds it. The machine must have been started for it
    /// ([`MachineBuilder::expect_device`](crate::MachineBuilder::expect_device)).
    pub fn attach_device(&self, device: Device) -> Result<String> {
        let plan = device.plan()?;
        let shape = plan.shape.clone();
        let reconnect = self.reach.reconnect(&shape)?;
        let name = lock(&self.slots).name_for(plan.name.as_deref(), &shape.kind)?;
        let backend = vhost_user::Backend::start(&name, plan, self.claim.dir())?;
        let frontend = lock(&self.slots).place_device(&name, &shape, backend.socket(), reconnect)?;
        self.backends.add(backend);
        let driven = DRIVEN.contains(&shape.virtio_id);
        let presence = if driven { Presence::Driven } else { Presence::Present };
        if let Err(error) = self.plug_device(&frontend) {
            if !may_be_there(&error) {
                self.forget_device(&name);
            }
            return Err(error);
        }
        if let Err(error) = self.await_device(&frontend, presence) {
            match self.unplug_device(&frontend) {
                Ok(()) => self.forget_device(&name),
                // Its place stays taken, and its program with it: QEMU has both. It can still be detached.
                Err(also) => tracing::warn!("{name} stays plugged in: {also}"),
            }
            return Err(error);
        }
        Ok(name)
    }

    /// After a plug that did not come about. What was wrong with that is told; a program that cannot be ended says so in the
    /// log.
    fn forget_device(&self, name: &str) {
        lock(&self.slots).release_device(name);
        if let Err(also) = self.backends.remove(name) {
            tracing::warn!("{also}");
        }
    }

    /// Unplugs a device and waits until the guest and QEMU have let go of it; then its program ends.
    pub fn detach_device(&self, name: &str) -> Result<()> {
        self.backends.find(name)?;
        let frontend = self.frontend(name)?;
        self.unplug_device(&frontend)?;
        self.await_device(&frontend, Presence::Gone)?;
        lock(&self.slots).release_device(name);
        self.backends.remove(name)
    }

    /// The program that serves this device.
    pub fn device(&self, name: &str) -> Result<Backend<'_>> {
        Ok(Backend { guest: self, backend: self.backends.find(name)? })
    }

    fn frontend(&self, name: &str) -> Result<Frontend> {
        lock(&self.slots)
            .find_device(name)
            .cloned()
            .ok_or_else(|| Error::new(Kind::NotFound, format!("the device {name} has been unplugged")))
    }

    fn plug_device(&self, frontend: &Frontend) -> Result<()> {
        self.with_qmp(|qmp| {
            qmp.execute("chardev-add", frontend.chardev_add())?;
            match qmp.execute("device_add", frontend.device()) {
                Ok(_) => Ok(()),
                Err(error) => {
                    if let Err(also) = qmp.execute("chardev-remove", json!({ "id": frontend.chardev_id() })) {
                        tracing::warn!("{also}");
                    }
                    Err(error)
                }
            }
        })
    }

    fn unplug_device(&self, frontend: &Frontend) -> Result<()> {
        self.with_qmp(|qmp| {
            self.unplug_from(qmp, &frontend.device_id(), &frontend.name)?;
            qmp.execute("chardev-remove", json!({ "id": frontend.chardev_id() })).map(drop)
        })
    }

    fn await_device(&self, frontend: &Frontend, presence: Presence) -> Result<()> {
        let limit_ms = u64::try_from(self.accel().scale(LIMIT).as_millis()).unwrap_or(u64::MAX);
        let request = Request::AwaitVirtio { port: port_address(frontend.port), presence, limit_ms };
        self.ask(&format!("the hot plug of {}", frontend.name), request, LIMIT + Duration::from_secs(5))
    }
}

/// The program behind a device of a guest.
#[derive(Debug)]
pub struct Backend<'g> {
    guest: &'g Guest,
    backend: Arc<vhost_user::Backend>,
}

impl Backend<'_> {
    /// The device's name.
    pub fn name(&self) -> &str {
        self.backend.name()
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.backend.pid()
    }

    /// The socket that QEMU is connected to.
    pub fn socket(&self) -> &Path {
        self.backend.socket()
    }

    /// A file beside the socket, with another extension. Ours have their host's side there: `hello` listens on
    /// `beside("stream")`, `console` on `beside("console")`.
    pub fn beside(&self, extension: &str) -> PathBuf {
        self.socket().with_extension(extension)
    }

    /// All that it has said so far, those before it included.
    pub fn log(&self) -> Result<String> {
        crate::files::read(self.backend.log())
    }

    /// What it has counted so far, by name, as in `rng.bytes` or `queue0.chains`; for ours.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>> {
        self.backend.counters()
    }

    /// Where the guest has the device in sysfs, as in `/sys/bus/pci/devices/0000:00:04.0/0000:01:00.0/virtio3`.
    pub fn sysfs(&self) -> Result<String> {
        let port = port_address(self.guest.frontend(self.name())?.port);
        let found = self.guest.check(&format!("echo /sys/bus/pci/devices/{port}/*:*/virtio*"))?;
        match found.trim() {
            path if path.contains('*') => {
                Err(Error::new(Kind::NotFound, format!("the guest does not have the device {}", self.name())))
            }
            path => Ok(path.to_owned()),
        }
    }

    /// Kills it (SIGKILL), which the guest then does not count as a failure.
    pub fn kill(&self) -> Result<()> {
        self.backend.kill()
    }

    /// Starts it again, in place of the one that was killed or still runs, and waits until QEMU is connected to it. For
    /// disks: other devices do not live on with a new backend, and must be unplugged and plugged in again.
    pub fn restart(&self) -> Result<()> {
        let frontend = self.guest.frontend(self.name())?;
        if frontend.reconnect.is_none() {
            let message = format!("QEMU cannot connect the device {} to a new backend", self.name());
            return Err(Error::new(Kind::Usage, message).with_help("unplug it, and plug it in again"));
        }
        self.backend.start_again()?;
        self.await_connection(&frontend)
    }

    fn await_connection(&self, frontend: &Frontend) -> Result<()> {
        let deadline = Instant::now() + self.guest.accel().scale(LIMIT);
        while !self.is_connected(frontend)? {
            interrupt::check()?;
            self.guest.vitals().check()?;
            if Instant::now() > deadline {
                let message = format!("QEMU has not connected to the new backend of {}", self.name());
                return Err(Error::new(Kind::Timeout, message));
            }
            // QEMU tells of no event when it has connected.
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// QEMU puts a word before the address of a connection that is not there.
    fn is_connected(&self, frontend: &Frontend) -> Result<bool> {
        let chardevs = self.guest.with_qmp(|qmp| qmp.execute("query-chardev", json!({})))?;
        let id = frontend.chardev_id();
        let ours = chardevs.as_array().into_iter().flatten().find(|chardev| chardev["label"] == id.as_str());
        let address = ours.and_then(|chardev| chardev["filename"].as_str()).unwrap_or("disconnected");
        Ok(!address.starts_with("disconnected"))
    }
}
