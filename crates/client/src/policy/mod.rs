// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a mapper answers: which physical page stands behind each logical one.
//!
//! A policy is a flash translation layer without the flash: it is asked for a plan for the pages of one request, and
//! told when the data has been moved. It never sees the data. What it must hold to: a page that was
//! written is found again where it was put, and no two logical pages share a physical one.

mod fixed;
mod log;
mod shuffle;
mod spec;
#[cfg(test)]
mod tests;

use blockyard_abi::simblk::{DIRECTION_WRITE, MapAnswer, MapEntry};

pub use fixed::Fixed;
pub use log::Log;
pub use spec::{ParseSpecError, Spec};

/// Decides where pages live.
pub trait Policy {
    /// The answer to a request: one entry for each of the map's, in the same order. It may be thrown away:
    /// nothing is settled before [`done`](Policy::done).
    fn plan(&mut self, map: &[MapEntry]) -> Vec<MapAnswer>;

    /// The request was served by this plan: what it wrote now lives where the plan said.
    fn done(&mut self, map: &[MapEntry], plan: &[MapAnswer]) {
        let _ = (map, plan);
    }

    /// What the policy has to say at the end, as names and values.
    fn report(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Whether this page is written; otherwise it is read.
pub fn is_write(entry: &MapEntry) -> bool {
    entry.direction == DIRECTION_WRITE
}

/// The answer that leaves a page where it is.
fn stay(logical_page: u64, physical_page: u64) -> MapAnswer {
    MapAnswer { logical_page, physical_page, new_physical_page: physical_page }
}
