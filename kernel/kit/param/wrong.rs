// SPDX-License-Identifier: GPL-2.0

//! Why a value is none, in words that follow `parameter NAME=VALUE:` in the log.

use kernel::fmt;

/// What is wrong with a value that a parameter was given.
#[derive(Clone, Copy)]
pub enum Wrong {
    /// No whole number in this range.
    Number {
        /// The smallest that would be right.
        min: i64,
        /// The largest.
        max: u64,
    },
    /// As [`Number`](Self::Number), in a list.
    Item {
        /// Which of them, counted from 1.
        position: usize,
        /// The smallest that would be right.
        min: i64,
        /// The largest.
        max: u64,
    },
    /// Neither yes nor no.
    Bool,
    /// More bytes than the text may have.
    TooLong {
        /// How many it may have.
        max: usize,
    },
    /// No UTF-8.
    Encoding,
    /// More numbers than the list may have.
    TooMany {
        /// How many it may have.
        max: usize,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { min, max } => write!(f, "it must be a whole number from {min} to {max}"),
            Self::Item { position, min, max } => write!(
                f,
                "number {position} of the list must be a whole number from {min} to {max}"
            ),
            Self::Bool => f.write_str("it must be y or n (or 1, 0, on, off)"),
            Self::TooLong { max } => write!(f, "it must not be longer than {max} bytes"),
            Self::Encoding => f.write_str("it must be UTF-8"),
            Self::TooMany { max } => write!(f, "there must not be more than {max} numbers"),
        }
    }
}
