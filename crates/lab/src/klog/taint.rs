// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's taint flags (`/proc/sys/kernel/tainted`), as words: the memory of a complaint that has scrolled out of
//! the log. The table follows `Documentation/admin-guide/tainted-kernels.rst` of Linux 7.3.

use serde::Serialize;

/// One flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// Bit number in `/proc/sys/kernel/tainted`.
    pub bit: u8,
    /// Letter in an Oops.
    pub letter: char,
    /// What happened.
    pub meaning: &'static str,
    /// Whether it tells of something gone wrong, and not just of where code came from.
    pub alarming: bool,
}

const fn origin(bit: u8, letter: char, meaning: &'static str) -> Flag {
    Flag { bit, letter, meaning, alarming: false }
}

const fn alarm(bit: u8, letter: char, meaning: &'static str) -> Flag {
    Flag { bit, letter, meaning, alarming: true }
}

/// All flags, by bit.
pub static FLAGS: [Flag; 20] = [
    origin(0, 'P', "a module without a GPL-compatible licence was loaded"),
    alarm(1, 'F', "a module was loaded by force"),
    origin(2, 'S', "the processor is out of specification"),
    alarm(3, 'R', "a module was unloaded by force"),
    alarm(4, 'M', "the processor reported a machine check"),
    alarm(5, 'B', "a page or a slab was found in a bad state"),
    origin(6, 'U', "a user program asked for the taint"),
    alarm(7, 'D', "the kernel died: an Oops or a BUG"),
    origin(8, 'A', "an ACPI table was overridden"),
    alarm(9, 'W', "the kernel issued a warning"),
    origin(10, 'C', "a staging driver was loaded"),
    origin(11, 'I', "a bug of the firmware was worked around"),
    origin(12, 'O', "a module built outside the kernel's tree was loaded"),
    origin(13, 'E', "an unsigned module was loaded"),
    alarm(14, 'L', "a CPU was locked up"),
    origin(15, 'K', "the kernel was patched while it ran"),
    origin(16, 'X', "a flag of the distribution's own"),
    origin(17, 'T', "the kernel was built with randomised structures"),
    origin(18, 'N', "a test module was loaded"),
    origin(19, 'J', "a mutating debug operation of fwctl was used"),
];

/// The flags that are set. A bit that this table does not know is not lost: it comes out of [`unknown`].
pub fn explain(bits: u64) -> Vec<&'static Flag> {
    FLAGS.iter().filter(|flag| bits >> flag.bit & 1 == 1).collect()
}

/// The flags that are set and tell of something gone wrong.
pub fn alarming(bits: u64) -> Vec<&'static Flag> {
    explain(bits).into_iter().filter(|flag| flag.alarming).collect()
}

/// The bits beyond the table: a newer kernel's.
pub fn unknown(bits: u64) -> u64 {
    bits >> FLAGS.len() << FLAGS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(FLAGS.iter().enumerate().all(|(i, flag)| i == usize::from(flag.bit)));
    }

    #[test]
    fn a_module_from_outside_is_no_alarm() {
        let bits = 1 << 12 | 1 << 13;
        assert_eq!(explain(bits).iter().map(|f| f.letter).collect::<String>(), "OE");
        assert!(alarming(bits).is_empty());
    }

    #[test]
    fn a_warning_is() {
        let letters: String = alarming(4608 | 128).iter().map(|f| f.letter).collect();
        assert_eq!(letters, "DW");
    }

    #[test]
    fn bits_to_come_are_kept() {
        assert_eq!(unknown(1 << 40 | 1), 1 << 40);
        assert_eq!(unknown(u64::MAX).count_ones(), 44);
    }
}
