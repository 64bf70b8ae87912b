// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies by name, as a command line gives them.

use std::fmt;
use std::str::FromStr;

use super::{Fixed, Log, Policy};

/// A policy that was named but not yet made for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    /// Every page where it is without a mapper.
    Identity,
    /// Every page so many pages further on.
    Shift(u64),
    /// A permutation that this seed decides.
    Random(u64),
    /// Each write to a fresh page.
    Log,
}

impl Spec {
    /// Makes the policy for a disk of `pages` pages.
    ///
    /// # Panics
    /// If `pages` is 0: no disk is empty.
    pub fn policy(self, pages: u64) -> Box<dyn Policy> {
        match self {
            Self::Identity => Box::new(Fixed::identity()),
            Self::Shift(by) => Box::new(Fixed::shift(by, pages)),
            Self::Random(seed) => Box::new(Fixed::random(seed, pages)),
            Self::Log => Box::new(Log::new(pages)),
        }
    }

    /// Whether the policy takes the disk for empty.
    pub fn wants_empty_disk(self) -> bool {
        self == Self::Log
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Shift(by) => write!(f, "shift={by}"),
            Self::Random(seed) => write!(f, "random={seed}"),
            Self::Log => f.write_str("log"),
        }
    }
}

/// No policy has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no policy; there are identity, shift=PAGES, random=SEED and log")]
pub struct ParseSpecError(String);

impl FromStr for Spec {
    type Err = ParseSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseSpecError(text.to_owned());
        let number = |digits: &str| digits.parse().map_err(|_| wrong());
        match text.split_once('=') {
            None if text == "identity" => Ok(Self::Identity),
            None if text == "log" => Ok(Self::Log),
            Some(("shift", digits)) => number(digits).map(Self::Shift),
            Some(("random", digits)) => number(digits).map(Self::Random),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_policy_is_refused_by_name() {
        for text in ["", "shift", "shift=", "shift=-1", "shift=x", "log=1", "identity=0", "random=1.5", "Log"]
        {
            let error = text.parse::<Spec>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}` is no policy")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_policy_reads_as_it_prints(number: u64, which in 0..4) {
            let spec = [Spec::Identity, Spec::Shift(number), Spec::Random(number), Spec::Log][which as usize];
            prop_assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }
}
