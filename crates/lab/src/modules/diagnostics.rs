// SPDX-License-Identifier: MIT OR Apache-2.0
//! Of all that make prints, what its user wants to see: the compiler's own messages, whole and as they come.

use crate::error::{Error, Kind};
use crate::process::{Failure, Stream};
use crate::progress;

/// Passes on what a compiler says and remembers the first error of it.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    first: Vec<String>,
}

/// Lines of kbuild that say nothing about the code.
const NOISE: [&str; 6] = [
    "make: Entering directory",
    "make: Leaving directory",
    "warning: the compiler differs from the one used to build the kernel",
    "The kernel was built by:",
    "You are using:",
    "Skipping BTF generation",
];

impl Diagnostics {
    /// Takes one line of make's output.
    pub(super) fn line(&mut self, stream: Stream, line: &str) {
        // kbuild tells its steps on standard output; compilers, and make's own errors, are on the other.
        // make's own count of who failed adds nothing to a compiler's error.
        let makes = line.starts_with("make") && !self.first.is_empty();
        if stream == Stream::Stdout || makes || is_noise(line) {
            return;
        }
        progress::show(line);
        let begun = !self.first.is_empty();
        if (line.starts_with("error") || line.contains(": error:") || line.starts_with("ERROR:")) && !begun {
            self.first.push(line.to_owned());
        } else if begun && self.first.len() < 2 && line.trim_start().starts_with("-->") {
            self.first.push(line.trim().to_owned());
        }
    }
}

fn is_noise(line: &str) -> bool {
    let text = line.trim_start();
    let submake = text.starts_with("make[")
        && (text.contains("Entering directory") || text.contains("Leaving directory"));
    submake || NOISE.iter().any(|n| text.starts_with(n))
}

/// One line that sums up; the compiler's words have been shown.
pub(super) fn explain(error: Error, shown: &Diagnostics, names: &str) -> Error {
    let failure = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<Failure>());
    let Some(failure) = failure.filter(|_| error.kind() == Kind::Build) else { return error };
    let tail = if shown.first.is_empty() { failure.tail.clone() } else { shown.first.clone() };
    Error::new(Kind::Build, format!("{names} did not compile"))
        .with_source(Failure { status: failure.status, tail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_and_its_place_are_kept() {
        let mut shown = Diagnostics::default();
        for line in [
            "make[1]: Entering directory '/x'",
            "warning: unused",
            "error[E0308]: mismatched types",
            "   --> a.rs:1:2",
            "error: other",
        ] {
            shown.line(Stream::Stderr, line);
        }
        assert_eq!(shown.first, ["error[E0308]: mismatched types", "--> a.rs:1:2"]);
    }

    #[test]
    fn kbuilds_own_talk_is_noise() {
        assert!(is_noise("make[2]: Leaving directory '/x'"));
        assert!(is_noise("  You are using:           gcc"));
        assert!(!is_noise("make[2]: *** [x] Error 1"));
        assert!(!is_noise("warning: unused variable"));
    }
}
