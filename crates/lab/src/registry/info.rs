// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a guest tells of itself to other processes.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::accel::Engine;
use crate::error::{Context, Kind, Result};
use crate::files;

const NAME: &str = "info.json";

/// One guest, as `ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// The process that booted it.
    pub owner_pid: u32,
    /// QEMU's process.
    pub qemu_pid: u32,
    /// The kernel's release.
    pub kernel: String,
    /// How its processor is run.
    pub accel: Engine,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// Serials of its disks, the root file system's not among them.
    pub disks: Vec<String>,
    /// Names of its devices that programs of their own serve.
    #[serde(default)]
    pub devices: Vec<String>,
    /// When it was booted: seconds since 1970.
    pub since: u64,
}

impl Info {
    /// How long it has been running.
    pub fn age(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_secs(self.since))
    }

    /// Nothing if the guest has not published itself, or is just leaving.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_str(&files::read(&dir.join(NAME)).ok()?).ok()
    }

    /// Whole or not at all: readers take no lock.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context(Kind::Lab, || "cannot describe the guest")?;
        let draft = dir.join("info.draft");
        files::write(&draft, text)?;
        files::rename(&draft, &dir.join(NAME))
    }
}
