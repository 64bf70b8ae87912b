// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a round goes on looking for chains instead of ending, and for how long.
//!
//! An interrupt costs the guest more than most requests cost the device, and a device that is fast interrupts its driver
//! for each of them while the driver is still making the next ones available. So a round that has found some chains may
//! linger: it looks for another for twice as long as chains have been apart, and the driver is notified when none
//! has come, when [`ENOUGH`] have, or after [`LONGEST`]. What is finished is in the used ring meanwhile, and chains
//! that come need no kick.
//!
//! A driver that waits for those chains before it makes others available gains nothing by that and loses a moment. Whether
//! it waits shows in how many chains it has made available beyond those that it has taken note of (`used_event` tells):
//! with as many as the last time that nothing came, it waits. With fewer, the round lingers. With so many it does so
//! only now and then, to find out if the driver has more to do than it had: after each time in vain more rarely, down to
//! one time in [`MOST_SKIPPED`], and never for a single chain.
//!
//! What is long enough is slept through ([`pass`]): a processor that spins is one that the guest does not run on, and
//! under emulation, where chains are tens of microseconds apart, the guest needs all that there are.

use std::num::NonZeroU64;
use std::time::Duration;

/// The longest that the next chain is waited for.
pub const LONGEST_LOOK: Duration = Duration::from_micros(100);
/// How long the driver may wait for its notification.
pub const LONGEST: Duration = Duration::from_micros(500);
/// So many chains are worth an interrupt.
pub const ENOUGH: u64 = 16;
/// How often at most no more is looked for in a row.
pub const MOST_SKIPPED: u32 = 63;
/// The shortest time that is worth a sleep.
const LEAST_NAP: Duration = Duration::from_micros(20);
/// About how much longer a sleep lasts than it was asked to.
const WAKING: Duration = Duration::from_micros(15);
/// How far apart chains are thought to be at first.
const FIRST_GAP: Duration = Duration::from_micros(8);

/// What has been learnt of a queue's driver.
#[derive(Debug)]
pub struct Linger {
    /// How many chains the driver has under way, as it sees it, when it waits for them.
    window: u16,
    /// How often it is to be left at that until the next try.
    skip: u32,
    /// How often it was, before the last try that was in vain.
    skipped: u32,
    /// How far apart chains come, smoothed.
    gap: Duration,
}

impl Default for Linger {
    fn default() -> Self {
        Self { window: 0, skip: 0, skipped: 0, gap: FIRST_GAP }
    }
}

impl Linger {
    /// Whether to look for another chain: `held` are given back without the driver having been notified, `outstanding` are
    /// available as the driver sees it, those included.
    pub fn wants_more(&mut self, held: u64, outstanding: u16) -> bool {
        if !(1..ENOUGH).contains(&held) {
            return false;
        }
        if outstanding < self.window {
            return true;
        }
        if held == 1 {
            return false;
        }
        let tries = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        tries
    }

    /// How long to look for it.
    pub fn look(&self) -> Duration {
        (self.gap * 2).min(LONGEST_LOOK)
    }

    /// It has come after so long, and is one of so many outstanding.
    pub fn came(&mut self, after: Duration, outstanding: u16) {
        self.gap = (self.gap * 7 + after) / 8;
        if outstanding > self.window {
            *self = Self { window: outstanding, skip: 0, skipped: 0, gap: self.gap };
        }
    }

    /// None has come while so many were outstanding.
    pub fn in_vain(&mut self, outstanding: u16) {
        // Perhaps it would have come a little later.
        self.gap = (self.gap + self.gap / 16).min(LONGEST_LOOK);
        if outstanding < self.window {
            // Or the driver was held up: it is not taken at its word at once.
            self.window = (self.window + outstanding) / 2;
        } else {
            self.window = outstanding;
            self.skipped = (self.skipped * 2 + 1).min(MOST_SKIPPED);
            self.skip = self.skipped;
        }
    }
}

/// Passes this time or a part of it: asleep if it is long enough for that.
pub fn pass(time: Duration) {
    thread_local! {
        static PUNCTUAL: () = be_punctual();
    }
    if time < LEAST_NAP {
        return std::hint::spin_loop();
    }
    PUNCTUAL.with(|()| ());
    std::thread::sleep(time - WAKING);
}

/// Has the kernel wake this thread when it is time, and not up to 50 us later, which is its default: see
/// `PR_SET_TIMERSLACK` in prctl(2).
fn be_punctual() {
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        tracing::debug!("this thread's naps are longer than they should be: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A driver that has up to `depth` chains under way, and makes the next available when it is told of some. Gives the
    /// number of looks in vain, and of notifications, for this many chains.
    fn serve(linger: &mut Linger, depth: u16, chains: u32) -> (u32, u32) {
        let (mut in_vain, mut notified) = (0, 0);
        let (mut done, mut held) = (0, 0);
        while done < chains {
            held += 1;
            done += 1;
            // All that are outstanding are done, as the device is fast.
            let outstanding = held as u16;
            if linger.wants_more(held, outstanding) {
                if outstanding < depth {
                    linger.came(Duration::from_micros(10), outstanding + 1);
                    continue;
                }
                linger.in_vain(outstanding);
                in_vain += 1;
            } else if outstanding < depth && held < 3 && outstanding >= linger.window {
                // The interrupt comes a little later than the next chain.
                continue;
            }
            notified += 1;
            held = 0;
        }
        (in_vain, notified)
    }

    #[test]
    fn a_driver_that_waits_for_each_chain_is_never_kept_waiting() {
        assert_eq!(serve(&mut Linger::default(), 1, 1000), (0, 1000));
    }

    #[test]
    fn a_driver_that_waits_for_a_few_is_told_when_they_are_done() {
        let (in_vain, notified) = serve(&mut Linger::default(), 4, 4000);
        assert!((1000..1010).contains(&notified), "{notified} notifications");
        assert!(in_vain < 40, "{in_vain} looks in vain");
    }

    #[test]
    fn a_driver_with_many_is_told_of_enough_at_once() {
        let (in_vain, notified) = serve(&mut Linger::default(), 32, 16_000);
        assert_eq!(in_vain, 0);
        assert!((1000..1010).contains(&notified), "{notified} notifications");
    }

    #[test]
    fn a_driver_that_changes_its_ways_is_soon_understood() {
        let mut linger = Linger::default();
        serve(&mut linger, 32, 1000);
        let (in_vain, _) = serve(&mut linger, 1, 1000);
        assert!(in_vain < 10, "{in_vain} looks in vain");
        let (_, notified) = serve(&mut linger, 32, 16_000);
        assert!(notified < 1100, "{notified} notifications");
    }

    #[test]
    fn a_driver_that_is_held_up_once_is_not_misjudged() {
        let mut linger = Linger::default();
        serve(&mut linger, 32, 1000);
        linger.in_vain(3);
        let (_, notified) = serve(&mut linger, 32, 16_000);
        assert!(notified < 1010, "{notified} notifications");
    }

    #[test]
    fn a_look_lasts_as_long_as_chains_are_apart_and_not_for_ever() {
        let mut linger = Linger::default();
        (0..100).for_each(|_| linger.came(Duration::from_micros(2), 8));
        assert!(linger.look() < Duration::from_micros(5), "{linger:?}");
        (0..100).for_each(|_| linger.came(Duration::from_micros(30), 8));
        assert!(linger.look() > Duration::from_micros(55), "{linger:?}");
        (0..100).for_each(|_| linger.in_vain(8));
        assert_eq!(linger.look(), LONGEST_LOOK);
    }

    #[test]
    fn time_passes_as_asked_or_sooner() {
        let asked = Duration::from_millis(2);
        let begun = Instant::now();
        pass(asked);
        assert!(begun.elapsed() >= asked - WAKING);
        pass(Duration::ZERO);
    }
}
