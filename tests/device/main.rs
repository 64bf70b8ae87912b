// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtio devices over vhost-user: what the lab promises of any, and each of ours under a stock driver.

mod blk;
mod console;
mod hello;
mod lab;
mod restart;
mod rng;

use blockyard_lab::{Machine, MachineBuilder};
use blockyard_tests::kernel;

/// A machine without modules of ours: its drivers are the kernel's own.
fn machine() -> MachineBuilder {
    Machine::builder().kernel(kernel())
}
