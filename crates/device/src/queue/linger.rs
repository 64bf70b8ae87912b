// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a round goes on looking for chains instead of ending, and for how long.
//!
//! An interrupt costs the guest more than most requests cost the device, and a device that is fast interrupts its driver
//! for each of them while the driver is still making the next ones available. So a round that has found more than one
//! chain lingers: it looks for another for twice as long as chains have been apart, and the driver is notified when none
//! has come, when [`ENOUGH`] have, or after [`LONGEST`]. What is finished is in the used ring meanwhile, and chains
//! that come need no kick.
//!
//! A driver that waits for those chains before it makes others available gains nothing by that and loses a moment. So a
//! lingering in vain is followed by rounds that do not linger: by one, then three, and so on up to [`MOST_SKIPPED`].

use std::time::{Duration, Instant};

/// The longest that the next chain is waited for.
pub const LONGEST_LOOK: Duration = Duration::from_micros(100);
/// How long the driver may wait for its notification.
pub const LONGEST: Duration = Duration::from_micros(500);
/// So many chains are worth an interrupt.
pub const ENOUGH: u32 = 16;
/// Rounds without lingering, after many in vain.
pub const MOST_SKIPPED: u32 = 63;
/// How far apart chains are thought to be at first.
const FIRST_GAP: Duration = Duration::from_micros(8);

/// What lingering has brought so far.
#[derive(Debug)]
pub struct Linger {
    skip: u32,
    penalty: u32,
    /// How far apart chains come, smoothed.
    gap: Duration,
}

impl Default for Linger {
    fn default() -> Self {
        Self { skip: 0, penalty: 0, gap: FIRST_GAP }
    }
}

impl Linger {
    /// Whether a round that has handled so many chains may linger; asked once a round that might.
    pub fn begin(&mut self, handled: u32) -> bool {
        if !(2..ENOUGH).contains(&handled) {
            return false;
        }
        let now = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        now
    }

    /// How long to look for the next chain.
    pub fn look(&self) -> Duration {
        (self.gap * 2).min(LONGEST_LOOK)
    }

    /// A chain has come after so long, or none has.
    pub fn looked(&mut self, came: Option<Duration>) {
        self.gap = match came {
            Some(after) => (self.gap * 7 + after) / 8,
            // Perhaps it would have come a little later.
            None => (self.gap + self.gap / 16).min(LONGEST_LOOK),
        };
    }

    /// A round has lingered, and another chain came or none did.
    pub fn ended(&mut self, came: bool) {
        self.penalty = if came { 0 } else { (self.penalty * 2 + 1).min(MOST_SKIPPED) };
        self.skip = self.penalty;
    }
}

/// One round's lingering.
#[derive(Debug, Clone, Copy)]
pub struct Lingering {
    last: Instant,
    /// Chains that the round had handled when it began.
    before: u32,
}

impl Lingering {
    /// Begins now, in a round that has handled so many chains.
    pub fn new(handled: u32) -> Self {
        Self { last: Instant::now() + LONGEST, before: handled }
    }

    /// Whether chains came meanwhile; `handled` are the round's.
    pub fn came(self, handled: u32) -> bool {
        handled > self.before
    }

    /// When a look that begins at `now` ends; `None` if the driver has waited enough for its notification.
    pub fn look(self, linger: &Linger, handled: u32, now: Instant) -> Option<Instant> {
        (handled < ENOUGH && now < self.last).then(|| self.last.min(now + linger.look()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_chain_is_answered_at_once() {
        assert!(!Linger::default().begin(1));
        assert!(Linger::default().begin(2));
        assert!(!Linger::default().begin(ENOUGH), "that many are worth an interrupt already");
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

    #[test]
    fn a_look_lasts_as_long_as_chains_are_apart_and_not_for_ever() {
        let mut linger = Linger::default();
        let settle = |linger: &mut Linger, came| (0..100).for_each(|_| linger.looked(came));
        settle(&mut linger, Some(Duration::from_micros(2)));
        assert!(linger.look() < Duration::from_micros(5), "{linger:?}");
        settle(&mut linger, Some(Duration::from_micros(30)));
        assert!(linger.look() > Duration::from_micros(55), "{linger:?}");
        settle(&mut linger, None);
        assert_eq!(linger.look(), LONGEST_LOOK);
    }

    #[test]
    fn enough_chains_are_told_of_at_once() {
        let (linger, lingering, now) = (Linger::default(), Lingering::new(3), Instant::now());
        assert!(lingering.look(&linger, 3, now).is_some() && !lingering.came(3) && lingering.came(4));
        assert_eq!(lingering.look(&linger, ENOUGH, now), None);
        assert_eq!(lingering.look(&linger, 3, now + LONGEST), None);
    }
}
