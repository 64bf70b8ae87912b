// SPDX-License-Identifier: MIT OR Apache-2.0
//! Versions of tools: found in what they print, and compared by number.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A version of up to three numbers, as in `0.71.1` or `19.1`; what is missing counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// The version of these three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The first version in a tool's output: the first word that begins with `NUMBER.NUMBER`, where a word begins
    /// after anything that is no letter, digit, dot or underscore.
    pub fn find(text: &str) -> Option<Self> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
        words.filter(|w| w.contains('.')).find_map(|w| w.parse().ok())
    }
}

impl TryFrom<String> for Version {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads the leading numbers; what follows them (`-rc1`, `+dfsg1`, `.debian`) is passed over.
    fn from_str(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map_while(|n| n.parse::<u32>().ok());
        let major = numbers.next().ok_or_else(|| format!("`{text}` is no version"))?;
        Ok(Self { major, minor: numbers.next().unwrap_or(0), patch: numbers.next().unwrap_or(0) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        let find = |text| Version::find(text).map(|v| v.to_string());
        assert_eq!(find("gcc (Debian 12.2.0-14) 12.2.0").as_deref(), Some("12.2.0"));
        assert_eq!(find("bindgen 0.72.1").as_deref(), Some("0.72.1"));
        assert_eq!(find("Debian clang version 19.1.4 (1~deb12u1)").as_deref(), Some("19.1.4"));
        assert_eq!(find("GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu").as_deref(), Some("4.3.0"));
        assert_eq!(
            find("QEMU emulator version 7.2.15 (Debian 1:7.2+dfsg-7+deb12u12)").as_deref(),
            Some("7.2.15")
        );
        assert_eq!(find("bc 1.07.1").as_deref(), Some("1.7.1"));
        assert_eq!(find("rustc 1.95.0 (59807616e 2026-04-14)").as_deref(), Some("1.95.0"));
        assert_eq!(find("no numbers here"), None);
    }

    #[test]
    fn they_compare_by_number() {
        let v = |s: &str| s.parse::<Version>().unwrap();
        assert!(
            v("0.9.9") < v("0.71.1") && v("17") > v("16.9.9") && v("1.95.0+dfsg1-2~bpo13+1") == v("1.95")
        );
        assert!("x1.2".parse::<Version>().is_err());
    }
}
