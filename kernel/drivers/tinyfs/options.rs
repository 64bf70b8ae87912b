// SPDX-License-Identifier: GPL-2.0

//! What one can say when mounting.

use kernel::{
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::{parse_int::ParseInt, BStr},
};

/// The options of a mount.
#[derive(Clone, PartialEq)]
pub(crate) struct Options {
    /// How many bytes all files may have together; a whole number of pages.
    pub(crate) size: u64,
    /// How many files and folders there may be, the root among them.
    pub(crate) inodes: u64,
    /// The permissions of the root folder.
    pub(crate) mode: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: 16 << 20,
            inodes: 1024,
            mode: 0o755,
        }
    }
}

impl Options {
    /// Takes one option.
    pub(crate) fn set(&mut self, key: &CStr, value: Option<&CStr>) -> Result {
        let text = value.map_or(&[][..], CStr::to_bytes);
        let taken = match key.to_bytes() {
            b"size" => bytes(text).map(|size| self.size = size),
            b"inodes" => count(text).map(|inodes| self.inodes = inodes),
            b"mode" => permissions(text).map(|mode| self.mode = mode),
            _ => return Err(ENOPARAM),
        };
        taken.ok_or(EINVAL)
    }
}

/// As `/proc/mounts` has them.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, inodes, mode } = self;
        write!(f, ",size={}k,inodes={inodes},mode={mode:o}", size >> 10)
    }
}

/// A number of bytes, with `k`, `m` or `g` after it or without, that is at least a page; rounded up
/// to pages.
fn bytes(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 10),
        (b'm' | b'M', digits) => (digits, 20),
        (b'g' | b'G', digits) => (digits, 30),
        _ => (text, 0),
    };
    count(digits)?
        .checked_mul(1 << shift)?
        .checked_next_multiple_of(PAGE_SIZE as u64)
}

/// A number above 0.
fn count(text: &[u8]) -> Option<u64> {
    u64::from_str(BStr::from_bytes(text))
        .ok()
        .filter(|count| *count > 0)
}

/// Permissions, in octal.
fn permissions(text: &[u8]) -> Option<u16> {
    let mode = text.iter().try_fold(0_u16, |mode, digit| match digit {
        b'0'..=b'7' => mode.checked_mul(8)?.checked_add((digit - b'0').into()),
        _ => None,
    });
    mode.filter(|mode| !text.is_empty() && *mode <= 0o1777)
}
