// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an option depends on, read from the source's Kconfig files, for the error that says it did not take.
//!
//! Not a Kconfig parser: it finds `config NAME` and the `depends on` lines below it, which is what a person would
//! look for. Conditions of surrounding `if` blocks and menus are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::Result;
use crate::files;

/// For each of these options that the source knows: the expressions that it depends on.
pub(super) fn find<'a>(
    source: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let names: BTreeSet<&str> = names.collect();
    let mut found = BTreeMap::new();
    if source.is_dir() {
        walk(source, &names, &mut found)?;
    }
    Ok(found)
}

/// A clause for the message: what it depends on, or that there is no such option.
pub(super) fn explain(dependencies: Option<&Vec<String>>) -> String {
    match dependencies {
        None => "this kernel has no such option".to_owned(),
        Some(list) if list.is_empty() => {
            "something else selects it, or an `if` around it does not hold".to_owned()
        }
        Some(list) => format!("it depends on {}", list.join(" && ")),
    }
}

fn walk(dir: &Path, names: &BTreeSet<&str>, found: &mut BTreeMap<String, Vec<String>>) -> Result<()> {
    for path in files::children(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            // Other architectures define options of the same names.
            let foreign = dir.file_name().is_some_and(|d| d == "arch") && name != "x86";
            if !foreign {
                walk(&path, names, found)?;
            }
        } else if name.starts_with("Kconfig") {
            scan(&files::read(&path)?, names, found);
        }
    }
    Ok(())
}

fn scan(text: &str, names: &BTreeSet<&str>, found: &mut BTreeMap<String, Vec<String>>) {
    let mut current: Option<&str> = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("config" | "menuconfig") => {
                current = words.next().filter(|n| names.contains(n));
                if let Some(name) = current {
                    found.entry(name.to_owned()).or_default();
                }
            }
            // What begins in the first column ends an option.
            Some(_) if !line.starts_with([' ', '\t']) => current = None,
            Some("depends") => {
                if let (Some(name), Some((_, expression))) = (current, line.split_once("depends on")) {
                    found.entry(name.to_owned()).or_default().push(expression.trim().to_owned());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_below_their_option() {
        let text = "config A\n\tbool \"a\"\n\tdepends on B && C\n\tdepends on D\n\nmenuconfig E\n\tbool\n\nif F\nconfig G\n\tdepends on H\n";
        let mut found = BTreeMap::new();
        scan(text, &["A", "E", "NONE"].into(), &mut found);
        assert_eq!(explain(found.get("A")), "it depends on B && C && D");
        assert!(explain(found.get("E")).contains("selects"));
        assert_eq!(explain(found.get("NONE")), "this kernel has no such option");
        assert!(!found.contains_key("G"));
    }
}
