// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lab promises of its guests, whatever runs in them: commands as if local, files, disks, visitors, a
//! kernel log that decides, and a name for every death.

mod builtin;
mod death;
mod disks;
mod exec;
mod files;
mod log;
mod net;
mod visit;

use blockyard_lab::{Machine, MachineBuilder};

/// A machine with nothing of ours in it.
fn machine() -> MachineBuilder {
    Machine::builder().kernel(blockyard_tests::kernel())
}
