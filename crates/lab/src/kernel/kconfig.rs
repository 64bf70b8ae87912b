// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an option depends on, read from the source's Kconfig files, for the error that says it did not take.
//!
//! Not a parser of the whole language. It follows `source` lines from the top, as Kconfig does, and keeps what a
//! person would look for: the `depends on` lines of the option, and the `if` blocks and menus that it stands in, which
//! are what hides an option most often and are in other files than it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::Result;
use crate::files;

/// For each of these options that the source knows: the expressions that it depends on.
pub(super) fn find<'a>(
    source: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let mut search = Search { source, names: names.collect(), around: Vec::new(), found: BTreeMap::new() };
    search.file("Kconfig")?;
    Ok(search.found)
}

/// A clause for the message: what it depends on, or that there is no such option.
pub(super) fn explain(dependencies: Option<&Vec<String>>) -> String {
    match dependencies {
        None => "this kernel has no such option for x86".to_owned(),
        Some(list) if list.is_empty() => "something else selects it, or decides its value".to_owned(),
        Some(list) => format!("it depends on {}", list.join(" && ")),
    }
}

struct Search<'a> {
    source: &'a Path,
    names: BTreeSet<&'a str>,
    /// Conditions of the blocks that we are in: one for each `if`, any number for each menu.
    around: Vec<Vec<String>>,
    found: BTreeMap<String, Vec<String>>,
}

/// What a `depends on` line belongs to.
enum Owner {
    Option(String),
    Menu,
    Nobody,
}

impl Search<'_> {
    fn file(&mut self, path: &str) -> Result<()> {
        let path = self.source.join(path.replace("$(SRCARCH)", "x86"));
        if path.is_file() { self.text(&files::read(&path)?) } else { Ok(()) }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        let mut owner = Owner::Nobody;
        for line in without_help(text) {
            let (word, rest) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
            let rest = rest.trim();
            match word {
                "source" => self.file(rest.trim_matches('"'))?,
                "if" => self.around.push(vec![rest.to_owned()]),
                "menu" | "choice" => {
                    self.around.push(Vec::new());
                    owner = Owner::Menu;
                }
                "endif" | "endmenu" | "endchoice" => drop(self.around.pop()),
                "config" | "menuconfig" => owner = self.option(rest),
                "comment" => owner = Owner::Nobody,
                "depends" => self.depends(&owner, rest.trim_start_matches("on").trim()),
                _ => {}
            }
        }
        Ok(())
    }

    fn option(&mut self, name: &str) -> Owner {
        if !self.names.contains(name) {
            return Owner::Nobody;
        }
        let around = self.around.iter().flatten().cloned();
        self.found.entry(name.to_owned()).or_default().extend(around);
        Owner::Option(name.to_owned())
    }

    fn depends(&mut self, owner: &Owner, expression: &str) {
        let list = match owner {
            Owner::Option(name) => self.found.get_mut(name),
            Owner::Menu => self.around.last_mut(),
            Owner::Nobody => None,
        };
        list.into_iter().for_each(|l| l.push(expression.to_owned()));
    }
}

/// The lines that are no help text: prose may begin a line with `if`. It goes on as long as lines are indented as deep
/// as its first one.
fn without_help(text: &str) -> impl Iterator<Item = &str> {
    // Inside a help text: how deep it is, once its first line was seen.
    let mut help: Option<Option<usize>> = None;
    text.lines().filter(move |line| {
        if line.trim().is_empty() {
            return false;
        }
        let depth = depth(line);
        match help {
            Some(None) => help = Some(Some(depth)),
            Some(Some(first)) if depth < first => help = None,
            _ => {}
        }
        let inside = help.is_some();
        if line.trim() == "help" {
            help = Some(None);
        }
        !inside
    })
}

/// Columns before the first character, with tabs of eight.
fn depth(line: &str) -> usize {
    let blanks = line.chars().take_while(|c| c.is_whitespace());
    blanks.fold(0, |column, c| if c == '\t' { column / 8 * 8 + 8 } else { column + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(files: &[(&str, &str)], name: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        explain(find(dir.path(), std::iter::once(name)).unwrap().get(name))
    }

    #[test]
    fn its_own_conditions_and_those_around_it_are_found_across_files() {
        let files = [
            (
                "Kconfig",
                "source \"arch/$(SRCARCH)/Kconfig\"\nif NETWORK_FILESYSTEMS\nsource \"fs/9p/Kconfig\"\nendif\nconfig LAST\n\tbool\n",
            ),
            (
                "fs/9p/Kconfig",
                "menu \"Plan 9\"\n\tdepends on INET\n\nconfig 9P_FS\n\ttristate \"9p\"\n\tdepends on NET_9P\n\nendmenu\n",
            ),
            (
                "arch/x86/Kconfig",
                "config OTHER\n\thelp\n\t  Say Y\n\t  if unsure.\n\nconfig ARCH\n\tbool\n\tdepends on A && B\n",
            ),
        ];
        assert_eq!(explained(&files, "9P_FS"), "it depends on NETWORK_FILESYSTEMS && INET && NET_9P");
        assert_eq!(explained(&files, "ARCH"), "it depends on A && B");
        assert!(explained(&files, "LAST").contains("selects"), "the blocks above have ended");
        assert_eq!(explained(&files, "NONE"), "this kernel has no such option for x86");
        assert!(explained(&[], "NONE").contains("no such option"));
    }
}
