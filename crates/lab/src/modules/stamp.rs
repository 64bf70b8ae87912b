// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a build was made from, so that the next one need not ask `make`: with nothing to do, kbuild takes most of a second
//! to find that out, which is as long as a guest takes to boot.
//!
//! The stamp lies beside the modules and is gone while a build is under way. Only builds against a kernel of the lab have
//! one: what another's build folder depends on, we do not know.

use std::path::Path;
use std::time::SystemTime;

use super::path_bytes;
use crate::cache::Key;
use crate::error::{Context, Kind, Result};
use crate::files;

/// Where the stamp is, in the folder of a build.
const FILE: &str = ".stamp";

/// All that a build depends on, as a hash.
pub(super) struct Inputs(String);

impl Inputs {
    /// Those of modules from the sources in `source`, against the kernel that the file `kernel` describes, with these tools.
    pub(super) fn of(source: &Path, kernel: &Path, toolchain: &str) -> Result<Self> {
        // A kernel of another state of its source has the same path, and maybe the same description.
        let made = modified(kernel)?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let key = Key::new("inputs")
            .with("kernel", path_bytes(kernel))
            .with("made", made.as_nanos().to_le_bytes())
            .with_file("about", kernel)?
            .with("toolchain", toolchain)
            .with_tree(source)?;
        let mut variables: Vec<_> = std::env::vars_os().collect();
        variables.retain(|(name, _)| name.to_str().is_some_and(steers));
        variables.sort();
        let key = variables
            .iter()
            .fold(key, |key, (name, value)| key.with(&name.to_string_lossy(), value.as_encoded_bytes()));
        Ok(Self(key.name()))
    }

    /// Whether the modules of these names in `dir` were built from them.
    pub(super) fn made(&self, dir: &Path, names: &[String]) -> bool {
        let Some(stamp) = Stamp::read(dir) else { return false };
        let as_built = |name: &String| {
            let module = modified(&dir.join(format!("{name}.ko"))).ok();
            stamp.names.contains(name) && module.is_some_and(|module| module <= stamp.written)
        };
        stamp.inputs == self.0 && names.iter().all(as_built)
    }

    /// Notes that these were built from them, beside those that were before.
    pub(super) fn note(&self, dir: &Path, names: &[String], before: Option<Stamp>) -> Result<()> {
        let before = before.filter(|stamp| stamp.inputs == self.0).map(|stamp| stamp.names);
        let mut all = before.unwrap_or_default();
        all.extend(names.iter().cloned());
        all.sort();
        all.dedup();
        files::write(&dir.join(FILE), format!("{}\n{}\n", self.0, all.join("\n")))
    }
}

/// What the last builds left.
pub(super) struct Stamp {
    inputs: String,
    names: Vec<String>,
    written: SystemTime,
}

impl Stamp {
    fn read(dir: &Path) -> Option<Self> {
        let path = dir.join(FILE);
        let (text, written) = (files::read(&path).ok()?, modified(&path).ok()?);
        let mut lines = text.lines().map(str::to_owned);
        Some(Self { inputs: lines.next()?, names: lines.collect(), written })
    }

    /// Takes it away, before something is built that may be interrupted.
    pub(super) fn take(dir: &Path) -> Result<Option<Self>> {
        let stamp = Self::read(dir);
        files::remove(&dir.join(FILE))?;
        Ok(stamp)
    }
}

/// Whether a variable of this name has a say in what kbuild makes (`Documentation/kbuild/kbuild.rst`).
fn steers(name: &str) -> bool {
    name.starts_with("KBUILD_") || name.ends_with("FLAGS") || name.ends_with("FLAGS_MODULE") || name == "W"
}

fn modified(path: &Path) -> Result<SystemTime> {
    let when = std::fs::metadata(path).and_then(|about| about.modified());
    when.context(Kind::Lab, || format!("cannot ask when {} was made", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Yard {
        root: tempfile::TempDir,
    }

    impl Yard {
        /// A kernel, a driver's source, and what a build made of it.
        fn built() -> Self {
            let yard = Self { root: tempfile::tempdir().unwrap() };
            for folder in ["source", "build"] {
                std::fs::create_dir(yard.at(folder)).unwrap();
            }
            for file in ["kernel.json", "source/hello.rs", "build/hello.ko"] {
                std::fs::write(yard.at(file), "first").unwrap();
            }
            yard.inputs().note(&yard.at("build"), &names(&["hello"]), None).unwrap();
            yard
        }

        fn at(&self, file: &str) -> PathBuf {
            self.root.path().join(file)
        }

        fn inputs(&self) -> Inputs {
            Inputs::of(&self.at("source"), &self.at("kernel.json"), "rustc 1").unwrap()
        }

        fn is_made(&self, drivers: &[&str]) -> bool {
            self.inputs().made(&self.at("build"), &names(drivers))
        }

        /// As a later write, whatever the file system's clock.
        fn touch(&self, file: &str) {
            let file = std::fs::File::options().write(true).open(self.at(file)).unwrap();
            file.set_modified(SystemTime::now() + std::time::Duration::from_secs(10)).unwrap();
        }
    }

    fn names(drivers: &[&str]) -> Vec<String> {
        drivers.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn nothing_changed_is_nothing_to_do() {
        assert!(Yard::built().is_made(&["hello"]));
    }

    #[test]
    fn a_changed_source_is_built() {
        let yard = Yard::built();
        std::fs::write(yard.at("source/hello.rs"), "other").unwrap();
        assert!(!yard.is_made(&["hello"]));
    }

    #[test]
    fn a_kernel_that_was_built_again_is_another() {
        let yard = Yard::built();
        yard.touch("kernel.json");
        assert!(!yard.is_made(&["hello"]));
    }

    #[test]
    fn other_tools_build_again() {
        let yard = Yard::built();
        let newer = Inputs::of(&yard.at("source"), &yard.at("kernel.json"), "rustc 2").unwrap();
        assert!(!newer.made(&yard.at("build"), &names(&["hello"])));
    }

    #[test]
    fn a_module_that_is_gone_or_was_touched_is_built() {
        let yard = Yard::built();
        yard.touch("build/hello.ko");
        assert!(!yard.is_made(&["hello"]));
        std::fs::remove_file(yard.at("build/hello.ko")).unwrap();
        assert!(!yard.is_made(&["hello"]));
    }

    #[test]
    fn what_was_built_before_from_the_same_still_counts() {
        let yard = Yard::built();
        assert!(!yard.is_made(&["hello", "simblk"]));
        let before = Stamp::take(&yard.at("build")).unwrap();
        assert!(!yard.is_made(&["hello"]), "while a build is under way nothing is made");
        std::fs::write(yard.at("build/simblk.ko"), "first").unwrap();
        yard.inputs().note(&yard.at("build"), &names(&["simblk"]), before).unwrap();
        assert!(yard.is_made(&["hello", "simblk"]));
    }
}
