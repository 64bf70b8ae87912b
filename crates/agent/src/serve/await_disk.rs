// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's wait for a disk that it plugs in or out.

use std::time::{Duration, Instant};

use blockyard_proto::Outcome;

use super::disk;
use crate::error::Error;

/// Done when the disk is there or gone; an error at the limit.
pub fn run(serial: &str, present: bool, limit_ms: u64) -> Result<Outcome, Error> {
    let deadline = Instant::now() + Duration::from_millis(limit_ms);
    if disk::await_disk(serial, present, deadline)? {
        return Ok(Outcome::Done);
    }
    let state = if present { "has not appeared" } else { "is still there" };
    Err(Error::other(format!("the disk with the serial {serial} {state}"), format!("waited {limit_ms} ms")))
}
