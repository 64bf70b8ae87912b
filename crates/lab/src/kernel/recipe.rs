// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kernel/kernel.toml`: which kernel, from where, with what tools.

use serde::Deserialize;

use super::Profile;
use crate::error::{Context, Kind, Result};
use crate::version::Version;

/// The file's content.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// The kernel's series, as in `7.3`.
    pub(crate) series: String,
    pub(crate) package: Package,
    pub(crate) space: Space,
    pub(crate) tools: Tools,
    pub(crate) bindgen: Bindgen,
    steps: Steps,
}

/// Where the source comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The archive's path inside the package.
    pub(crate) archive: String,
    pub(crate) suites: Vec<String>,
    /// Patterns of what is not unpacked.
    pub(crate) leave_out: Vec<String>,
}

/// MiB that must be free.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Space {
    pub(crate) source: u64,
    pub(crate) build: u64,
}

/// The oldest tools that will do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    pub(crate) gcc: Version,
    pub(crate) clang: Version,
    pub(crate) rustc: Version,
    pub(crate) bindgen: Version,
    pub(crate) libclang: Version,
}

/// The bindgen to build.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bindgen {
    pub(crate) version: Version,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    base: u64,
    debug: u64,
}

impl Recipe {
    /// The recipe that this program was compiled with.
    pub(crate) fn load() -> Result<Self> {
        toml::from_str(include_str!("../../../../kernel/kernel.toml"))
            .context(Kind::Lab, || "kernel/kernel.toml is wrong")
    }

    /// About how many lines `make` prints for a whole build.
    pub(crate) fn steps(&self, profile: Profile) -> u64 {
        match profile {
            Profile::Base => self.steps.base,
            Profile::Debug => self.steps.debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_readable_and_agrees_with_itself() {
        let recipe = Recipe::load().unwrap();
        assert!(recipe.package.name.ends_with(&recipe.series));
        assert!(recipe.bindgen.version >= recipe.tools.bindgen);
        assert!(recipe.package.leave_out.iter().all(|p| !p.contains("x86") && !p.starts_with('/')));
    }
}
