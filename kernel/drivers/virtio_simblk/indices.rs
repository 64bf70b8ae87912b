// SPDX-License-Identifier: GPL-2.0

//! The numbers in the disks' names: each disk has the lowest that is free.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

/// Which of the first 256 numbers are taken.
#[pin_data]
pub(crate) struct Indices {
    #[pin]
    taken: Mutex<[u64; 4]>,
}

impl Indices {
    /// All are free.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { taken <- new_mutex!([0; 4], "Indices::taken") }),
            GFP_KERNEL,
        )
    }

    /// Takes the lowest that is free.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Index> {
        let mut taken = self.taken.lock();
        let word = taken.iter().position(|word| *word != u64::MAX);
        let word = word.ok_or(ENOSPC)?;
        let bit = taken[word].trailing_ones();
        taken[word] |= 1 << bit;
        Ok(Index {
            number: word as u32 * u64::BITS + bit,
            indices: self.clone(),
        })
    }
}

/// A number that is taken until this is dropped.
pub(crate) struct Index {
    number: u32,
    indices: Arc<Indices>,
}

impl Index {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let word = (self.number / u64::BITS) as usize;
        self.indices.taken.lock()[word] &= !(1 << (self.number % u64::BITS));
    }
}
