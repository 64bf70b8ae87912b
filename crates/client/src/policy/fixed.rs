// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings that never change: the physical page is a function of the logical one, and pages are written in place.

use blockyard_abi::simblk::{MapAnswer, MapEntry};

use super::shuffle::Shuffle;
use super::{Policy, stay};

/// A permutation of the disk's pages.
#[derive(Debug, Clone)]
pub struct Fixed(Permutation);

#[derive(Debug, Clone)]
enum Permutation {
    Identity,
    Shift { by: u64, pages: u64 },
    Random(Shuffle),
}

impl Fixed {
    /// Every page where it would be without a mapper.
    pub fn identity() -> Self {
        Self(Permutation::Identity)
    }

    /// Every page `by` pages further on, around the end of the disk.
    ///
    /// # Panics
    /// If there are no pages: no disk is empty.
    pub fn shift(by: u64, pages: u64) -> Self {
        assert!(pages > 0, "a disk has pages");
        Self(Permutation::Shift { by: by % pages, pages })
    }

    /// The pages in an order that `seed` decides.
    ///
    /// # Panics
    /// If there are no pages: no disk is empty.
    pub fn random(seed: u64, pages: u64) -> Self {
        Self(Permutation::Random(Shuffle::new(seed, pages)))
    }

    /// The physical page behind a logical page of the disk.
    pub fn physical(&self, logical: u64) -> u64 {
        match &self.0 {
            Permutation::Identity => logical,
            // Both are below `pages`, which is far below half of what a u64 holds.
            Permutation::Shift { by, pages } => (logical + by) % pages,
            Permutation::Random(shuffle) => shuffle.apply(logical),
        }
    }
}

impl Policy for Fixed {
    fn plan(&mut self, map: &[MapEntry]) -> Vec<MapAnswer> {
        map.iter().map(|entry| stay(entry.logical_page, self.physical(entry.logical_page))).collect()
    }
}
