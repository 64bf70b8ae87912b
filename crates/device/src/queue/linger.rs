// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a round goes on looking for chains instead of ending, and for how long.
//!
//! An interrupt costs the guest more than most requests cost the device, and a device that is fast interrupts its driver
//! for each of them while the driver is still making the next ones available. So a round that has found more than one
//! chain lingers: it looks for another for a moment, and the driver is notified when none has come, or after
//! [`LONGEST`]. What is finished is in the used ring meanwhile, and chains that come need no kick.
//!
//! A driver that waits for those chains before it makes others available gains nothing by that and loses a moment. So a
//! lingering in vain is followed by rounds that do not linger: by one, then three, and so on up to [`MOST_SKIPPED`].

use std::time::{Duration, Instant};

/// How long the next chain is waited for: as long as QEMU's event loops poll at most (`poll-max-ns`).
pub const WINDOW: Duration = Duration::from_micros(32);
/// How long the driver may wait for its notification.
pub const LONGEST: Duration = Duration::from_micros(200);
/// Rounds without lingering, after many in vain.
pub const MOST_SKIPPED: u32 = 63;

/// What lingering has brought so far.
#[derive(Debug, Default)]
pub struct Linger {
    skip: u32,
    penalty: u32,
}

impl Linger {
    /// Whether a round that has handled so many chains may linger; asked once a round that might.
    pub fn begin(&mut self, handled: u32) -> bool {
        if handled < 2 {
            return false;
        }
        let now = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        now
    }

    /// A round has lingered, and another chain came or none did.
    pub fn ended(&mut self, came: bool) {
        self.penalty = if came { 0 } else { (self.penalty * 2 + 1).min(MOST_SKIPPED) };
        self.skip = self.penalty;
    }
}

/// When to stop looking.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    last: Instant,
}

impl Until {
    /// For lingering that begins now.
    pub fn new() -> Self {
        Self { last: Instant::now() + LONGEST }
    }

    /// The end of a look that begins now.
    pub fn look(self) -> Instant {
        self.last.min(Instant::now() + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_chain_is_answered_at_once() {
        assert!(!Linger::default().begin(1));
        assert!(Linger::default().begin(2));
    }

    #[test]
    fn lingering_in_vain_becomes_rare_and_success_brings_it_back() {
        let mut linger = Linger::default();
        let mut gap = |came| {
            let skipped = (0..).take_while(|_| !linger.begin(8)).count();
            linger.ended(came);
            skipped
        };
        let gaps: Vec<_> = (0..8).map(|_| gap(false)).collect();
        assert_eq!(gaps, [0, 1, 3, 7, 15, 31, 63, 63]);
        assert_eq!((gap(true), gap(true), gap(false), gap(true)), (63, 0, 0, 1));
    }
}
