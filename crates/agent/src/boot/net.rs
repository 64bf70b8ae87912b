// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: a static address on QEMU's user network, if the lab asked for one.

use std::process::Command;

use blockyard_proto::NetConfig;

use crate::error::{Context, Error};
use crate::reaper;

/// Configures the first Ethernet card, and loopback. Without a network nothing is run: it costs boot time.
pub fn configure(net: Option<&NetConfig>) -> Result<(), Error> {
    let Some(net) = net else { return Ok(()) };
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "set", "eth0", "up"])?;
    ip(&["address", "add", &net.address, "dev", "eth0"])?;
    ip(&["route", "add", "default", "via", &net.gateway])?;
    std::fs::write("/etc/resolv.conf", format!("nameserver {}\n", net.dns))
        .context(|| "cannot write /etc/resolv.conf".into())
}

fn ip(args: &[&str]) -> Result<(), Error> {
    let line = format!("ip {}", args.join(" "));
    match reaper::run(Command::new("/usr/sbin/ip").args(args)).context(|| format!("cannot run `{line}`"))? {
        0 => Ok(()),
        code => Err(Error::other(format!("`{line}` failed"), format!("exit code {code}"))),
    }
}
