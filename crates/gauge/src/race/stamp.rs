// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written into a sector: in each word, where it belongs and which write it is of.

/// Bytes.
pub const SECTOR: usize = 512;

/// Bits of a word that say where it belongs; the rest is the number of the write.
const PLACE: u32 = 20;

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Never written, or discarded.
    Zero,
    /// Of this sector, by the write of this number.
    Stamp {
        /// The sector.
        sector: usize,
        /// The write.
        version: u64,
    },
}

/// Stamps all of a sector.
pub fn put(bytes: &mut [u8], sector: usize, version: u64) {
    let word = (version << PLACE | (sector as u64 + 1)).to_le_bytes();
    bytes.chunks_exact_mut(8).for_each(|place| place.copy_from_slice(&word));
}

/// The words of a sector.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = Word> + '_ {
    bytes.chunks_exact(8).map(|bytes| {
        let word = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        match word {
            0 => Word::Zero,
            // A place of 0 is none of ours: no sector is that high, so it is wrong wherever it is found.
            _ => Word::Stamp {
                sector: ((word & ((1 << PLACE) - 1)) as usize).wrapping_sub(1),
                version: word >> PLACE,
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_from_every_word() {
        let mut bytes = [0u8; SECTOR];
        assert!(words(&bytes).all(|word| word == Word::Zero));
        put(&mut bytes, 77, 123_456_789);
        assert_eq!(words(&bytes).count(), 64);
        assert!(words(&bytes).all(|word| word == Word::Stamp { sector: 77, version: 123_456_789 }));
    }
}
