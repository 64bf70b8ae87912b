// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the initramfs to a running system.
//!
//! 1. [`mounts`]: devtmpfs, proc and sysfs, without which nothing can be found.
//! 2. [`root`]: the root disk is found by its serial, laid read-only under a tmpfs, and moved into.
//! 3. [`mounts`]: what a running system has besides: /run, /tmp, pts, debugfs, tracefs, configfs, cgroup2.
//! 4. [`devices`]: udevd, so that links, permissions and rules are as on a real machine; the network if asked for.

mod devices;
mod mounts;
mod net;
mod profile;
mod root;

use blockyard_proto::{BOOT_CONFIG_PATH, BootConfig};

use crate::console;
use crate::error::{Context, Error};

pub use profile::Profile;

/// Everything up to the point where programs can be run.
pub fn boot(profile: &mut Profile) -> Result<BootConfig, Error> {
    mounts::early()?;
    console::unmute().context(|| "cannot set the console's level".into())?;
    let config = config()?;
    root::enter()?;
    profile.reached("root");
    mounts::late()?;
    rustix::system::sethostname(config.hostname.as_bytes()).context(|| "cannot set the host name".into())?;
    // The out-of-memory killer may take any process but the one that reports it; those that are started
    // get the usual score back. A kernel without the file has no such killer.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    Ok(config)
}

/// What takes programs to do.
pub fn late(config: &BootConfig, profile: &mut Profile) -> Result<(), Error> {
    net::configure(config.net.as_ref())?;
    devices::start_udev()?;
    profile.reached("udev");
    Ok(())
}

fn config() -> Result<BootConfig, Error> {
    let bytes = std::fs::read(BOOT_CONFIG_PATH).context(|| format!("cannot read {BOOT_CONFIG_PATH}"))?;
    postcard::from_bytes(&bytes)
        .map_err(|e| Error::other(format!("{BOOT_CONFIG_PATH} is not of this version"), e.to_string()))
}
