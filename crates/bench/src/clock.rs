// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two clocks that a figure can be taken by, and what each may be trusted with.
//!
//! | | wall time | instructions |
//! |---|---|---|
//! | what it is | what a user waits for | what the guest executes, counted by QEMU (`-icount shift=0`) |
//! | repeats to | 5 to 20% under emulation: only ratios of pairs are told | 0.3% |
//! | trusted for | anything, under KVM; copies, under emulation | the length of a path; whether a change made it longer |
//! | blind to | small differences | caches, locks, and what one instruction does |
//!
//! The trap: a string instruction (`rep movsq`) counts once for every 8 bytes, a call to memcpy about three times. gcc
//! inlines the former into brd, Rust calls the latter; so of two disks that copy 4 KiB each, the count says that one is
//! a fifth slower, where the clock on the wall says that it is faster. So counts of I/Os that copy are not compared; what is
//! compared is the path, the count that is left when the I/O's size goes to zero ([`crate::workload`]).

use blockyard_lab::Engine;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What figures are taken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Time that passes, as the guest sees it.
    Wall,
    /// Instructions that the guest executes.
    Instructions,
}

impl Clock {
    /// The clock of a guest that runs under this.
    pub fn of(engine: Engine) -> Self {
        match engine {
            Engine::Kvm | Engine::Tcg => Self::Wall,
            Engine::Icount => Self::Instructions,
        }
    }

    /// What is said of it above its figures.
    pub fn banner(self, engine: &str) -> String {
        match (self, engine) {
            (Self::Wall, "kvm") => "WALL CLOCK, under KVM".into(),
            (Self::Wall, _) => {
                "WALL CLOCK, under emulation (TCG): go by the ratios, not by the figures".into()
            }
            (Self::Instructions, _) => {
                "INSTRUCTION COUNT (QEMU -icount, one processor): paths, not copies".into()
            }
        }
    }
}
