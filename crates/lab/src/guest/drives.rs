// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's side of a disk, while the guest uses it: its size, its pace, and what has reached it.

use serde_json::{Value, json};

use super::{Guest, lock};
use crate::error::{Error, Kind, Result};

/// What has reached a disk of a guest, as its QEMU counts: requests, not bytes. (It does not count discards.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Reads.
    pub reads: u64,
    /// Writes, those of zeroes among them.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
}

impl Guest {
    /// Changes the size of a disk (in bytes, rounded up to a sector), of which the guest's driver is told.
    pub fn resize(&self, serial: &str, bytes: u64) -> Result<()> {
        let drive = self.drive(serial)?;
        let arguments = json!({ "node-name": drive, "size": bytes.next_multiple_of(512) });
        self.with_qmp(|qmp| qmp.execute("block_resize", arguments)).map(drop)
    }

    /// Lets a disk do at most so many requests a second; 0 is no limit.
    pub fn throttle(&self, serial: &str, requests: u64) -> Result<()> {
        let arguments = json!({
            "id": format!("/machine/peripheral/dev-{}/virtio-backend", self.drive(serial)?), "iops": requests, "iops_rd": 0, "iops_wr": 0,
            "bps": 0, "bps_rd": 0, "bps_wr": 0,
        });
        self.with_qmp(|qmp| qmp.execute("block_set_io_throttle", arguments)).map(drop)
    }

    /// What has reached a disk since it was plugged in.
    pub fn reached(&self, serial: &str) -> Result<Reached> {
        let device = format!("/dev-{}/", self.drive(serial)?);
        let disks = self.with_qmp(|qmp| qmp.execute("query-blockstats", json!({})))?;
        let is_it = |disk: &&Value| disk["qdev"].as_str().is_some_and(|path| path.contains(&device));
        let disk = disks.as_array().and_then(|disks| disks.iter().find(is_it));
        let stats = disk.map(|disk| &disk["stats"]).ok_or_else(|| {
            Error::new(Kind::Lab, format!("QEMU has no statistics of the disk with the serial {serial}"))
        })?;
        let count = |name: &str| stats[name].as_u64().unwrap_or(0);
        Ok(Reached {
            reads: count("rd_operations"),
            writes: count("wr_operations"),
            flushes: count("flush_operations"),
        })
    }

    /// QEMU's name for a disk.
    fn drive(&self, serial: &str) -> Result<String> {
        let slots = lock(&self.slots);
        let drive = slots.find(serial).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("this guest has no disk with the serial {serial}"))
        })?;
        Ok(drive.id.clone())
    }
}
