// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sizes and disks as people write them.

use std::str::FromStr;

use blockyard_client::abi;

/// Units of a size, by powers of 1024.
const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];

/// Reads a number of bytes: digits, and at most one of `K`, `M`, `G`, `T` (powers of 1024).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let unit = UNITS.iter().position(|unit| text.ends_with([*unit, unit.to_ascii_lowercase()]));
    let digits = if unit.is_some() { &text[..text.len() - 1] } else { text };
    let factor = 1u64 << (10 * unit.map_or(0, |unit| unit + 1));
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    let number = number.ok_or("a size is a number of bytes, such as 4096, or with a unit, such as 32M")?;
    number.checked_mul(factor).ok_or_else(|| format!("more than {} bytes", u64::MAX))
}

/// Writes a number of bytes in the largest unit that divides it.
pub(crate) fn human(bytes: u64) -> String {
    let fits = |power: &usize| bytes != 0 && bytes.is_multiple_of(1 << (10 * power));
    match (1..=UNITS.len()).rev().find(fits) {
        Some(power) => format!("{}{}", bytes >> (10 * power), UNITS[power - 1]),
        None => bytes.to_string(),
    }
}

/// The index of a disk, given as `0`, `simblk0` or `/dev/simblk0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskIndex(pub(crate) u32);

impl FromStr for DiskIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        let digits = name.strip_prefix(abi::NAME).unwrap_or(name);
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        match number {
            Some(index) if index < abi::MAX_DISKS => Ok(Self(index)),
            Some(_) => Err(format!("the disks are {0}0 to {0}{1}", abi::NAME, abi::MAX_DISKS - 1)),
            None => Err(format!("a disk is named 0, {0}0 or /dev/{0}0", abi::NAME)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let read = ["0", "512", "4k", "32M", "1G", "4T"].map(bytes);
        assert_eq!(read.map(Result::unwrap), [0, 512, 4096, 32 << 20, 1 << 30, 4 << 40]);
        for text in ["", "M", "-1", "+1", "1.5G", "1KB", "4é", "99999999999999999999", "16777216T"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_as_they_are_read() {
        for size in [0, 1, 512, 1025, 4096, 32 << 20, 3 << 29, 4 << 40, u64::MAX] {
            assert_eq!(bytes(&human(size)), Ok(size));
        }
        assert_eq!(human(32 << 20), "32M");
    }

    #[test]
    fn disks_have_three_names() {
        for text in ["7", "simblk7", "/dev/simblk7"] {
            assert_eq!(text.parse(), Ok(DiskIndex(7)));
        }
        for text in ["", "64", "simblk", "simblk0p1", "-1", "+1", "/dev/sda", "4294967296"] {
            assert!(text.parse::<DiskIndex>().is_err(), "{text}");
        }
    }
}
