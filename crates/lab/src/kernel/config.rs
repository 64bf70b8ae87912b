// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fragments of configuration, and the proof that each line of them took.
//!
//! Kconfig drops in silence what its dependencies do not allow: the kernel builds, boots, and fails an hour later
//! for a reason that names no option. So after `make` has completed the configuration, every line that was asked
//! for is looked up in it, and all that did not take are named in one error, with what they depend on.

use std::collections::BTreeMap;
use std::path::Path;

use super::{KernelSpec, Profile, Recipe, kconfig};
use crate::error::{Error, Kind, Result};
use crate::files;

const BASE: &str = include_str!("../../../../kernel/config/base.config");
const DEBUG: &str = include_str!("../../../../kernel/config/debug.config");
const KCSAN: &str = include_str!("../../../../kernel/config/kcsan.config");

/// Options and what they are wanted to be, from one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    lines: Vec<Line>,
}

/// One option. Its name comes without `CONFIG_`, its value as in `.config`, with `n` for what is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    name: String,
    value: String,
    /// File and line, for messages.
    from: String,
}

/// The fragments that a kernel is configured with, in order.
pub(super) fn fragments(spec: &KernelSpec, recipe: &Recipe) -> Result<Vec<Fragment>> {
    let mut all = vec![parse(BASE, Path::new("base.config"))?];
    match spec.profile {
        Profile::Base => {}
        Profile::Debug => all.push(parse(DEBUG, Path::new("debug.config"))?),
        Profile::Kcsan => all.push(parse(KCSAN, Path::new("kcsan.config"))?),
    }
    let of_series = format!("kernel.toml, kernel {}, config", recipe.series);
    all.push(parse(&recipe.source.config, Path::new(&of_series))?);
    for path in &spec.fragments {
        all.push(parse(&files::read(path)?, path)?);
    }
    Ok(all)
}

fn parse(text: &str, path: &Path) -> Result<Fragment> {
    let numbered =
        text.lines().enumerate().map(|(n, line)| (format!("{}:{}", path.display(), n + 1), line.trim()));
    let mut lines = Vec::new();
    for (from, line) in numbered {
        if let Some((name, value)) = parse_line(line).map_err(|e| wrong(&from, line, e))? {
            lines.push(Line { name: name.to_owned(), value: value.to_owned(), from });
        }
    }
    Ok(Fragment { lines })
}

/// `CONFIG_NAME=value`, `# CONFIG_NAME is not set`, or nothing that says anything.
fn parse_line(line: &str) -> std::result::Result<Option<(&str, &str)>, &'static str> {
    let unset = line.strip_prefix("# CONFIG_").and_then(|l| l.strip_suffix(" is not set"));
    if let Some(name) = unset {
        return Ok(Some((name, "n")));
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = line.split_once('=').ok_or("there is no `=`")?;
    let name = name.strip_prefix("CONFIG_").ok_or("it does not begin with `CONFIG_`")?;
    if value.is_empty() || name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("a name and a value are needed");
    }
    Ok(Some((name, value)))
}

fn wrong(from: &str, line: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("{from}: `{line}` is no option: {why}"))
        .with_help("write options as in a kernel's .config: CONFIG_NAME=y, =m, =n, =NUMBER or =\"TEXT\"")
}

/// What is wanted in the end, by name: a later fragment overrides an earlier one.
fn wanted(fragments: &[Fragment]) -> BTreeMap<&str, &Line> {
    fragments.iter().flat_map(|f| &f.lines).map(|l| (l.name.as_str(), l)).collect()
}

/// All fragments as one, in the form that `KCONFIG_ALLCONFIG` takes; also what a cache key takes in.
pub(super) fn merged(fragments: &[Fragment]) -> String {
    wanted(fragments).values().map(|l| format!("CONFIG_{}={}\n", l.name, l.value)).collect()
}

/// An error of [`Kind::Config`] that names every option which is not as wanted in this `.config`. `source` is
/// searched for what such an option depends on.
pub(super) fn verify(fragments: &[Fragment], config: &str, source: &Path) -> Result<()> {
    let got: BTreeMap<&str, &str> =
        config.lines().filter_map(|l| parse_line(l.trim()).ok().flatten()).collect();
    let value = |name: &str| got.get(name).copied().unwrap_or("n");
    let missed: Vec<&Line> =
        wanted(fragments).into_values().filter(|l| !same(&l.value, value(&l.name))).collect();
    if missed.is_empty() {
        return Ok(());
    }
    let dependencies = kconfig::find(source, missed.iter().map(|l| l.name.as_str()))?;
    let lines = missed.iter().map(|line| {
        let Line { name, value: wanted, from } = line;
        let why = kconfig::explain(dependencies.get(name.as_str()));
        format!("\n  CONFIG_{name}: wanted {wanted} ({from}), got {}; {why}", value(name))
    });
    let message = format!(
        "{} option(s) of the kernel's configuration did not take:{}",
        missed.len(),
        lines.collect::<String>()
    );
    Err(Error::new(Kind::Config, message).with_help("add what an option depends on, or take its line out"))
}

/// Numbers compare as numbers: 0x10 is 16 for nobody, but `0X1` is `0x1`.
fn same(wanted: &str, got: &str) -> bool {
    wanted == got || (wanted.starts_with("0") && wanted.eq_ignore_ascii_case(got))
}

/// The options in which `after` differs from `before`, both whole `.config` texts, as a fragment.
pub(super) fn difference(before: &str, after: &str) -> String {
    let read = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|l| parse_line(l.trim()).ok().flatten());
        lines.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    };
    let (before, after) = (read(before), read(after));
    let none = "n".to_owned();
    let changed = after.iter().filter(|(n, v)| before.get(*n).unwrap_or(&none) != *v);
    let gone = before.iter().filter(|(n, v)| !after.contains_key(*n) && *v != "n").map(|(n, _)| (n, &none));
    changed.chain(gone).map(|(n, v)| format!("CONFIG_{n}={v}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(text: &str) -> Fragment {
        parse(text, Path::new("my.config")).unwrap()
    }

    fn verified(wanted: &str, config: &str) -> Result<()> {
        verify(&[fragment(wanted)], config, Path::new("/nonexistent"))
    }

    #[test]
    fn our_own_fragments_are_well_formed() {
        for profile in [Profile::Debug, Profile::Kcsan] {
            for series in ["7.2", "7.3"] {
                let recipe = Recipe::of_series(Some(series)).unwrap();
                let all = fragments(&KernelSpec::profile(profile), &recipe).unwrap();
                assert!(all[..2].iter().all(|f| f.lines.len() > 4));
            }
        }
    }

    #[test]
    fn what_took_is_not_complained_about() {
        let config =
            "CONFIG_A=y\nCONFIG_M=m\nCONFIG_N=64\nCONFIG_H=0x1\nCONFIG_S=\"text\"\n# CONFIG_OFF is not set\n";
        verified("CONFIG_A=y\nCONFIG_M=m\nCONFIG_N=64\nCONFIG_H=0x1\nCONFIG_S=\"text\"\nCONFIG_OFF=n\nCONFIG_GONE=n\n", config).unwrap();
    }

    #[test]
    fn every_option_that_did_not_take_is_named_with_both_values() {
        let error = verified(
            "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=2\n",
            "CONFIG_B=y\nCONFIG_C=y\nCONFIG_D=1\n",
        );
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        for part in ["CONFIG_A: wanted y (my.config:1), got n", "CONFIG_B: wanted m (my.config:2), got y"] {
            assert!(text.contains(part), "{text}");
        }
        for part in [
            "CONFIG_C: wanted n (my.config:3), got y",
            "CONFIG_D: wanted 2 (my.config:4), got 1",
            "4 option(s)",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_later_fragment_overrides_an_earlier_one() {
        let both = [fragment("CONFIG_A=y\nCONFIG_B=y\n"), fragment("CONFIG_A=n\n")];
        assert_eq!(merged(&both), "CONFIG_A=n\nCONFIG_B=y\n");
        verify(&both, "CONFIG_B=y\n", Path::new("/nonexistent")).unwrap();
    }

    #[test]
    fn a_line_that_is_no_option_is_named_with_its_place() {
        for line in ["CONFIG_A", "A=y", "CONFIG_=y", "CONFIG_A=", "CONFIG_A B=y"] {
            let error = parse(&format!("# fine\n{line}\n"), Path::new("my.config")).unwrap_err();
            assert!(error.to_string().starts_with("my.config:2: "), "{error}");
        }
    }

    #[test]
    fn a_difference_is_a_fragment() {
        let before = "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=y\n";
        let after = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n";
        assert_eq!(difference(before, after), "CONFIG_B=y\nCONFIG_C=y\nCONFIG_D=n\n");
        assert_eq!(difference(before, before), "");
    }
}
