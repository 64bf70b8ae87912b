// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lab promises of its guests, whatever runs in them: commands as if local, files, disks, visitors, a
//! kernel log that decides, and a name for every death.

mod builtin;
mod death;
mod disks;
mod exec;
mod files;
mod kcsan;
mod log;
mod net;
mod visit;

use blockyard_lab::{Guest, Result};
use blockyard_tests::{Shape, bare_machine as machine, on_guest_of};

/// Runs `test` in a guest with nothing of ours in it, which another test may have had before.
#[track_caller]
fn on_bare_guest(test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest_of(Shape::new("bare", machine), test);
}
