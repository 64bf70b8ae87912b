// SPDX-License-Identifier: MIT OR Apache-2.0
//! Modules in and out of the guest's kernel.

use super::session::Session;
use crate::error::{Error, Kind, Result};

impl Session {
    /// Loads a module that is under `/lib/modules`, with what it depends on, and waits for udev to have seen the
    /// consequences. `params` is as for modprobe: `size=1048576 disks=2`.
    pub fn load(&self, module: &str, params: &str) -> Result<()> {
        self.modprobe(&["modprobe", module], params)
    }

    /// Takes a module out again.
    pub fn unload(&self, module: &str) -> Result<()> {
        self.modprobe(&["rmmod", module], "")
    }

    fn modprobe(&self, command: &[&str], params: &str) -> Result<()> {
        let words = command.iter().copied().chain(params.split_whitespace());
        let output = self.command(words).run()?;
        if !output.status.success() {
            let said = output.stderr_text();
            let message = format!("`{} {params}` failed: {}", command.join(" "), said.trim());
            return Err(Error::new(Kind::Guest, message).with_help("the kernel log may say more"));
        }
        self.command(["udevadm", "settle", "--timeout=60"]).run().map(drop)
    }
}
