// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks in and out of a running guest.

use std::path::Path;
use std::time::Duration;

use blockyard_proto::Request;
use serde_json::json;

use super::{Guest, lock};
use crate::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::machine::Disk;
use crate::qemu::{Drive, names};
use crate::qmp::Qmp;

/// How long the guest's kernel may take to find or to let go of a disk, under KVM.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

impl Guest {
    /// Plugs a disk in and waits until the guest has it; gives its serial, by which it is found under
    /// `/dev/disk/by-id/virtio-SERIAL`.
    pub fn attach(&self, disk: Disk) -> Result<String> {
        let drive = lock(&self.slots).place(&disk, Cache::open()?.root())?;
        if let Err(error) = self.plug(&drive) {
            if !may_be_there(&error) {
                lock(&self.slots).release(&drive.serial);
            }
            return Err(error);
        }
        if let Err(error) = self.await_disk(&drive.serial, true) {
            match self.unplug(&drive) {
                Ok(()) => lock(&self.slots).release(&drive.serial),
                // The place stays taken: QEMU would refuse the next disk there. It can still be detached.
                Err(also) => tracing::warn!("{} stays plugged in: {also}", drive.serial),
            }
            return Err(error);
        }
        Ok(drive.serial)
    }

    /// Unplugs a disk and waits until both the guest and QEMU have let go of it.
    pub fn detach(&self, serial: &str) -> Result<()> {
        let drive = lock(&self.slots).find(serial).cloned().ok_or_else(|| {
            Error::new(Kind::NotFound, format!("this guest has no disk with the serial {serial}"))
        })?;
        self.unplug(&drive)?;
        self.await_disk(serial, false)?;
        lock(&self.slots).release(serial);
        Ok(())
    }

    /// Takes it from QEMU, which asks the guest first.
    fn unplug(&self, drive: &Drive) -> Result<()> {
        let device = format!("dev-{}", drive.id);
        self.with_qmp(|qmp| {
            self.unplug_from(qmp, &device, &drive.serial)?;
            qmp.execute("blockdev-del", json!({ "node-name": drive.id })).map(drop)
        })
    }

    /// Takes a device from QEMU, called `name` where people wait for it, and waits until it has let go.
    pub(super) fn unplug_from(&self, qmp: &mut Qmp, device: &str, name: &str) -> Result<()> {
        qmp.execute("device_del", json!({ "id": device }))?;
        qmp.await_event(self.accel().scale(LIMIT), &format!("unplugging {name}"), |event| {
            event["event"] == "DEVICE_DELETED" && event["data"]["device"] == device
        })
        .map(drop)
    }

    fn plug(&self, drive: &Drive) -> Result<()> {
        self.with_qmp(|qmp| {
            qmp.execute("blockdev-add", drive.blockdev())?;
            match qmp.execute("device_add", drive.device()) {
                Ok(_) => Ok(()),
                Err(error) => {
                    if let Err(also) = qmp.execute("blockdev-del", json!({ "node-name": drive.id })) {
                        tracing::warn!("{also}");
                    }
                    Err(error)
                }
            }
        })
    }

    fn await_disk(&self, serial: &str, present: bool) -> Result<()> {
        let limit_ms = u64::try_from(self.accel().scale(LIMIT).as_millis()).unwrap_or(u64::MAX);
        let request = Request::AwaitDisk { serial: serial.into(), present, limit_ms };
        self.ask(&format!("the hot plug of {serial}"), request, LIMIT + Duration::from_secs(5))
    }

    pub(super) fn with_qmp<T>(&self, f: impl FnOnce(&mut Qmp) -> Result<T>) -> Result<T> {
        let mut slot = lock(&self.qmp);
        let socket: &Path = &self.claim.dir().join(names::QMP);
        let qmp = match slot.take() {
            Some(qmp) => slot.insert(qmp),
            None => slot.insert(Qmp::connect(socket)?),
        };
        f(qmp)
    }
}

/// Whether what was to be plugged in may be there all the same: QEMU has not said no, it has not answered.
pub(super) fn may_be_there(error: &Error) -> bool {
    error.kind() == Kind::Timeout
}
