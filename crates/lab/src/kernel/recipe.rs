// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kernel/kernel.toml`: which kernels, from where, with what tools.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Profile;
use crate::error::{Context, Error, Kind, Result};
use crate::version::Version;

/// What one series is built from and with.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The kernel's series, as in `7.3`.
    pub(crate) series: String,
    pub(crate) source: Package,
    /// Patterns of what of the source is not unpacked.
    pub(crate) leave_out: Vec<String>,
    pub(crate) space: Space,
    pub(crate) tools: Tools,
    pub(crate) bindgen: Bindgen,
}

/// The file's content.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The series that is meant when none is named.
    series: String,
    leave_out: Vec<String>,
    kernel: BTreeMap<String, Package>,
    space: Space,
    tools: Tools,
    bindgen: Bindgen,
}

/// Where a series comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    #[serde(rename = "package")]
    pub(crate) name: String,
    /// The archive's path inside the package.
    pub(crate) archive: String,
    pub(crate) suites: Vec<String>,
    /// A fragment of configuration, on top of the profile's.
    #[serde(default)]
    pub(crate) config: String,
    steps: Steps,
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

/// The bindgen for a machine that has none, or one that is too old.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bindgen {
    /// Where Debian's package of it is taken from.
    pub(crate) suites: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    base: u64,
    debug: u64,
    kcsan: u64,
}

impl File {
    fn load() -> Result<Self> {
        toml::from_str(include_str!("../../../../kernel/kernel.toml"))
            .context(Kind::Lab, || "kernel/kernel.toml is wrong")
    }
}

impl Recipe {
    /// That of the series that is meant when none is named.
    pub(crate) fn load() -> Result<Self> {
        Self::of_series(None)
    }

    /// That of a series; an error of [`Kind::Usage`] that names the known ones if it is none of them.
    pub(crate) fn of_series(series: Option<&str>) -> Result<Self> {
        let File { series: default, leave_out, kernel: mut known, space, tools, bindgen } = File::load()?;
        let series = series.map_or(default, str::to_owned);
        let Some(source) = known.remove(&series) else {
            let known: Vec<_> = known.into_keys().collect();
            return Err(Error::new(Kind::Usage, format!("there is no kernel series `{series}`"))
                .with_help(format!("the series are {}", known.join(" and "))));
        };
        Ok(Self { series, source, leave_out, space, tools, bindgen })
    }

    /// About how many lines `make` prints for a whole build.
    pub(crate) fn steps(&self, profile: Profile) -> u64 {
        match profile {
            Profile::Base => self.source.steps.base,
            Profile::Debug => self.source.steps.debug,
            Profile::Kcsan => self.source.steps.kcsan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_readable_and_agrees_with_itself() {
        for series in File::load().unwrap().kernel.keys() {
            let recipe = Recipe::of_series(Some(series)).unwrap();
            assert!(recipe.source.name.ends_with(series) && recipe.source.archive.contains(series));
            assert!(!recipe.bindgen.suites.is_empty());
            assert!(recipe.leave_out.iter().all(|p| !p.contains("x86") && !p.starts_with('/')));
        }
    }

    #[test]
    fn the_series_that_is_meant_when_none_is_named_is_the_newest() {
        let newest = File::load().unwrap().kernel.into_keys().max_by_key(|s| s.parse::<Version>().unwrap());
        assert_eq!(Recipe::load().unwrap().series, newest.unwrap());
    }

    #[test]
    fn an_unknown_series_is_answered_with_the_known_ones() {
        let error = Recipe::of_series(Some("2.4")).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(error.help(), Some("the series are 7.2 and 7.3"));
    }
}
