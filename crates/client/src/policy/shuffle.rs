// SPDX-License-Identifier: MIT OR Apache-2.0
//! A random permutation of any number of pages that needs no table: a Feistel network over the next power of four,
//! walked until it comes back into range (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Each
//! round is undone by itself whatever the round function is, so it is a permutation by construction; the walk keeps it one
//! on the smaller range. It takes less than four steps on average, as the power of four is less than four times as large.

/// Enough that neighbours do not stay together; this is a scatterer of pages, not a cipher.
const ROUNDS: usize = 6;

/// A permutation of `0..pages`.
#[derive(Debug, Clone)]
pub(crate) struct Shuffle {
    pages: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Shuffle {
    /// # Panics
    /// If `pages` is 0.
    pub(crate) fn new(seed: u64, pages: u64) -> Self {
        assert!(pages > 0, "a disk has pages");
        let bits = 64 - (pages - 1).leading_zeros();
        let mut state = seed;
        let keys = std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        });
        Self { pages, half_bits: bits.div_ceil(2), keys }
    }

    /// Where page `page` goes.
    pub(crate) fn apply(&self, page: u64) -> u64 {
        debug_assert!(page < self.pages, "a page of the disk");
        let mut place = self.step(page);
        while place >= self.pages {
            place = self.step(place);
        }
        place
    }

    fn step(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every input bit reaches every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_disk_of_one_page_has_one_order() {
        assert_eq!(Shuffle::new(7, 1).apply(0), 0);
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let order = |seed| (0..64).map(|page| Shuffle::new(seed, 64).apply(page)).collect::<Vec<_>>();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), (0..64).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn every_page_has_its_own_place(seed: u64, pages in 1u64..3000) {
            let shuffle = Shuffle::new(seed, pages);
            let mut seen = vec![false; pages as usize];
            for page in 0..pages {
                let place = shuffle.apply(page);
                prop_assert!(place < pages);
                prop_assert!(!std::mem::replace(&mut seen[place as usize], true), "{place} twice");
            }
        }

        #[test]
        fn the_largest_disks_have_an_order_too(seed: u64, page in 0u64..1 << 30) {
            prop_assert!(Shuffle::new(seed, 1 << 30).apply(page) < 1 << 30);
        }
    }
}
