// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words in the tree of the kit's overlay (`kernel/kit/mem/overlay/word.rs`), the same source as in the kernel, on
//! the host: every mask, against counting bit by bit.

use std::ptr::NonNull;

use word::{ALL, PAGE, Piece, SECTORS, Word};

#[rustfmt::skip] // It has the kernel's style.
#[path = "../../kernel/kit/mem/overlay/word.rs"]
mod word;

/// A place as the page allocator gives them. It is not accessed.
fn page() -> NonNull<u8> {
    NonNull::new(std::ptr::without_provenance_mut(0xffff_8880_0123_4000)).expect("not null")
}

#[test]
fn a_run_is_what_counting_sector_by_sector_finds() {
    for mask in 0..=ALL {
        let word = Word::page(page(), mask);
        for first in 0..SECTORS {
            for most in 1..=SECTORS - first {
                let is_ours = |sector: u64| mask & (1 << sector) != 0;
                let ours = is_ours(first);
                let like = (first..first + most).take_while(|&sector| is_ours(sector) == ours).count();
                assert_eq!(
                    word.run(first, most),
                    (ours, like as u64),
                    "{mask:08b} from {first}, at most {most}"
                );
            }
        }
    }
}

#[test]
fn a_piece_has_the_bits_of_its_sectors() {
    for at in 0..3 * SECTORS {
        for end in at + 1..=4 * SECTORS {
            let piece = Piece::first_of(at, end);
            let sectors: Vec<u64> = (at..end).take_while(|sector| sector / SECTORS == at / SECTORS).collect();
            assert_eq!((piece.page, piece.first), (at / SECTORS, at % SECTORS));
            assert_eq!(piece.sectors, sectors.len() as u64);
            assert_eq!(piece.offset(), (at % SECTORS) as usize * 512);
            assert_eq!(piece.bytes(), sectors.len() * 512);
            let bits: u8 = sectors.iter().map(|sector| 1 << (sector % SECTORS)).sum();
            assert_eq!(piece.mask(), bits, "{at}..{end}");
        }
    }
}

#[test]
fn pointer_and_mask_do_not_disturb_each_other() {
    for mask in 0..=ALL {
        let word = Word::page(page(), mask);
        assert_eq!(word.pointer(), Some(page()));
        assert!(!word.is_zeroes());
        for more in 0..=ALL {
            let both = word.with(more);
            assert_eq!(both, Word::page(page(), mask | more));
            assert!(both.has(mask) && both.has(more) && both.pointer() == Some(page()));
            assert_eq!(word.has(more), mask & more == more);
        }
        assert_eq!(Word::from_raw(word.into_raw()), word);
    }
}

#[test]
fn below_zeroes_and_a_table_are_told_apart() {
    assert_eq!(Word::BELOW.pointer(), None);
    assert!(!Word::BELOW.is_zeroes());
    assert_eq!(Word::BELOW.run(2, 8), (false, 6));
    assert_eq!(Word::ZEROES.pointer(), None);
    assert!(Word::ZEROES.is_zeroes());
    let table = Word::table(page());
    assert!(!table.is_zeroes());
    assert_eq!(table.pointer(), Some(page()));
    assert_eq!(PAGE % 4096, 0);
}
