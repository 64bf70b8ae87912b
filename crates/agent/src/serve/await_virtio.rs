// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's wait for a virtio device that it plugs in or out, by the root port that it is behind.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blockyard_proto::{Outcome, Presence};

use super::uevent;
use crate::error::Error;

const PCI: &str = "/sys/bus/pci/devices";
/// `VIRTIO_CONFIG_S_DRIVER_OK`: a driver has taken the device, and its probe is over.
const DRIVER_OK: u32 = 4;

/// Done when it has come to that; an error at the limit.
pub fn run(port: &str, presence: Presence, limit_ms: u64) -> Result<Outcome, Error> {
    let deadline = Instant::now() + Duration::from_millis(limit_ms);
    let folder = Path::new(PCI).join(port);
    if uevent::until(deadline, || Ok(holds(&folder, presence)))? {
        return Ok(Outcome::Done);
    }
    let state = match (presence, device(&folder)) {
        (Presence::Gone, _) => "is still there",
        (Presence::Driven, Some(_)) => "is there, and no driver of this kernel has taken it",
        _ => "has not appeared",
    };
    Err(Error::other(
        format!("the device behind the root port {port} {state}"),
        format!("waited {limit_ms} ms"),
    ))
}

fn holds(port: &Path, presence: Presence) -> bool {
    match presence {
        Presence::Present => device(port).is_some(),
        Presence::Driven => device(port).is_some_and(|device| status(&device) & DRIVER_OK != 0),
        // The PCI device goes after the virtio device that it carries.
        Presence::Gone => functions(port).is_empty(),
    }
}

/// The virtio device behind the port.
fn device(port: &Path) -> Option<PathBuf> {
    functions(port).iter().find_map(|function| {
        children(function).into_iter().find(|path| path.join("modalias").exists() && named(path, "virtio"))
    })
}

/// The PCI devices behind the port: their names are addresses, as the port's own is.
fn functions(port: &Path) -> Vec<PathBuf> {
    children(port).into_iter().filter(|path| path.join("vendor").exists()).collect()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    // What goes away while it is being listed is not there.
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

fn named(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// `0x0000000f`, as sysfs has it; 0 for a device that is just going.
fn status(device: &Path) -> u32 {
    let text = std::fs::read_to_string(device.join("status")).unwrap_or_default();
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_present_then_driven_then_gone() {
        let dir = tempfile::tempdir().unwrap();
        let port = dir.path().join("0000:00:04.0");
        std::fs::create_dir_all(port.join("pci_bus")).unwrap();
        let holds = |presence| holds(&port, presence);
        assert!(holds(Presence::Gone) && !holds(Presence::Present));
        let function = port.join("0000:01:00.0");
        let device = function.join("virtio3");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(function.join("vendor"), "0x1af4\n").unwrap();
        std::fs::write(device.join("modalias"), "virtio:d00000023v00001AF4\n").unwrap();
        std::fs::write(device.join("status"), "0x00000001\n").unwrap();
        assert!(holds(Presence::Present) && !holds(Presence::Driven) && !holds(Presence::Gone));
        std::fs::write(device.join("status"), "0x0000000f\n").unwrap();
        assert!(holds(Presence::Driven));
        std::fs::remove_dir_all(&device).unwrap();
        assert!(!holds(Presence::Present) && !holds(Presence::Gone), "its PCI device is still there");
        std::fs::remove_dir_all(&function).unwrap();
        assert!(holds(Presence::Gone));
    }
}
