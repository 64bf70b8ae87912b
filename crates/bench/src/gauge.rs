// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gauge` in the guest, which measures what fio does not.

use blockyard_lab::error::Context;
use blockyard_lab::{Guest, Kind, Result, programs};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Puts it into the guest.
pub fn install(guest: &Guest) -> Result<()> {
    guest.push(&programs::ensure()?.gauge(), "/usr/bin/gauge")
}

/// A new disk, filled, zeroed and discarded. Nanoseconds of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Lifecycle {
    /// Of the disk.
    pub bytes: u64,
    /// The first fill.
    pub fill_ns: u64,
    /// Zeroing all of it; 0 where that was not done.
    #[serde(default)]
    pub zero_ns: u64,
    /// Discarding all of it.
    pub discard_ns: u64,
    /// Memory that filling took beside the data.
    pub beside_bytes: i64,
}

impl Lifecycle {
    /// Memory beside the data, scaled to 1 GiB of data.
    pub fn beside_per_gib(&self) -> f64 {
        self.beside_bytes as f64 * (1u64 << 30) as f64 / self.bytes as f64
    }
}

#[derive(Deserialize)]
struct Trips {
    trips: u64,
    trip_ns: u64,
    spun_ns: u64,
}

#[derive(Deserialize)]
struct Copied {
    copy_ns: u64,
}

/// Fills so many MiB of a disk.
pub fn fill(guest: &Guest, device: &str, mib: u64) -> Result<()> {
    guest.check(&format!("gauge fill {device} --bytes {}", mib << 20)).map(drop)
}

/// Runs a new disk through its life. `way` is how: `lifecycle` or `scatter`.
pub fn lifecycle(guest: &Guest, way: &str, device: &str) -> Result<Lifecycle> {
    ask(guest, &format!("{way} {device}"))
}

/// Bytes a second at which memory is copied, in blocks of this size, out of so many MiB.
pub fn copy_rate(guest: &Guest, block: u32, mib: u64) -> Result<f64> {
    let area = mib << 20;
    let times = (area / u64::from(block)) as u32;
    let copied: Copied = ask(guest, &format!("copy {block} {area} {times}"))?;
    Ok(f64::from(block) * f64::from(times) * 1e9 / copied.copy_ns as f64)
}

/// What a round trip to a device takes, in nanoseconds of the guest: one of `times`, one at a time. With `spin`, only what the
/// guest itself does for it.
pub fn trip(guest: &Guest, device: &str, times: u32, spin: bool) -> Result<f64> {
    let spin = if spin { "--spin" } else { "" };
    let Trips { trips, trip_ns, spun_ns } = ask(guest, &format!("trips {device} {times} {spin}"))?;
    Ok((trip_ns as f64 - spun_ns as f64) / trips as f64)
}

fn ask<T: DeserializeOwned>(guest: &Guest, what: &str) -> Result<T> {
    let said = guest.check(&format!("gauge {what}"))?;
    serde_json::from_str(&said).context(Kind::Guest, || format!("gauge said {said:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_beside_the_data_is_scaled_to_a_gib() {
        let life =
            Lifecycle { bytes: 256 << 20, fill_ns: 1, zero_ns: 1, discard_ns: 1, beside_bytes: 1 << 19 };
        assert_eq!(life.beside_per_gib(), f64::from(2 << 20));
    }
}
