// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks by their serial: found in sysfs, awaited by the kernel's own announcements.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::uevent;
use crate::error::{Context, Error};

const BLOCK: &str = "/sys/block";

/// The device node of the disk with this serial.
pub fn find(serial: &str) -> Result<Option<PathBuf>, Error> {
    for entry in std::fs::read_dir(BLOCK).context(|| format!("cannot list {BLOCK}"))?.flatten() {
        let said = std::fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
        if said.trim_end() == serial {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

/// Waits until the disk is there, or gone, until the deadline; whether it came to that.
pub fn await_disk(serial: &str, present: bool, deadline: Instant) -> Result<bool, Error> {
    uevent::until(deadline, || Ok(find(serial)?.is_some() == present))
}
