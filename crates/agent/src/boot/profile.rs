// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the boot's time goes: one line in the kernel log, which the lab shows to who asks for details.

use std::fmt::Write;

use blockyard_proto::CONSOLE_PREFIX;
use rustix::time::{ClockId, clock_gettime};

/// The points that the boot has passed, in seconds of the kernel's own clock.
pub struct Profile(String);

impl Profile {
    /// Starts with the moment that the kernel handed over.
    pub fn start() -> Self {
        let mut profile = Self(format!("<14>{CONSOLE_PREFIX}booted:"));
        profile.reached("init");
        profile
    }

    /// Notes a point.
    pub fn reached(&mut self, what: &str) {
        let now = clock_gettime(ClockId::Boottime);
        // Writing to a string does not fail.
        let _ = write!(self.0, " {what} {}.{:03} s", now.tv_sec, now.tv_nsec / 1_000_000);
    }

    /// Writes the line. A figure that cannot be written down stops no boot.
    pub fn log(self) {
        let _ = std::fs::write("/dev/kmsg", self.0 + "\n");
    }
}
