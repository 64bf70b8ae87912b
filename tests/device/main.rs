// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtio devices over vhost-user: what the lab promises of any, and each of ours under a stock driver.

mod blk;
mod console;
mod hello;
mod lab;
mod restart;
mod rng;

use blockyard_lab::{Device, Guest, QemuChoice, Result};
// The drivers here are the kernel's own.
use blockyard_tests::{Shape, bare_machine as machine, on_guest_of};

/// Machines under the system's QEMU, which is the oldest that there is, and knows these types by itself.
const STANDARD: Shape =
    Shape::new("standard", || machine().qemu(QemuChoice::System).expect_device(Device::new("rng")));

/// Machines that know devices of any id.
const GENERIC: Shape = Shape::new("generic", || machine().expect_device(Device::new("hello")));

/// Runs a test in such a guest with this device plugged in: the first of its type, so that its name ends in 0.
#[track_caller]
fn with_device(shape: Shape, spec: &str, test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest_of(shape, |guest| {
        let name = guest.attach_device(Device::new(spec))?;
        test(guest)?;
        guest.detach_device(&name)
    });
}
