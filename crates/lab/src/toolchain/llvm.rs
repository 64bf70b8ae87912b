// SPDX-License-Identifier: MIT OR Apache-2.0
//! clang and its linker, which a kernel with KASAN and Rust must be built with.

use crate::error::{Error, Kind, Result};
use crate::kernel::Recipe;
use crate::process::find_program;
use crate::toolchain::version_line;
use crate::version::Version;

/// The tools that `make LLVM=` calls beside clang.
const TOOLS: [&str; 5] = ["ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-strip"];

/// A complete set of LLVM's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Llvm {
    /// The value of `LLVM=`: `1`, or a suffix as in `-19`.
    pub(crate) make_value: String,
    /// clang's version.
    pub(crate) version: Version,
}

/// The newest complete set that is new enough; else what is missing.
pub(crate) fn find() -> Result<Llvm> {
    let needed = Recipe::load()?.tools.clang;
    let suffixes = (needed.major..=40).rev().map(|n| format!("-{n}")).chain([String::new()]);
    let mut sets = suffixes.filter(|s| TOOLS.iter().all(|t| find_program(&format!("{t}{s}")).is_some()));
    let set = sets.find_map(|suffix| {
        let clang = find_program(&format!("clang{suffix}"))?;
        let version = Version::find(&version_line(&clang)?).filter(|v| *v >= needed)?;
        let make_value = if suffix.is_empty() { "1".to_owned() } else { suffix };
        Some(Llvm { make_value, version })
    });
    set.ok_or_else(|| {
        let message = format!(
            "the debug profile is built with clang {} or later, and there is no complete set of it",
            needed.major
        );
        Error::new(Kind::Need, message).with_help("apt-get install clang-19 lld-19 llvm-19")
    })
}
