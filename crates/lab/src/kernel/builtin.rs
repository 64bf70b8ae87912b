// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers of ours as part of the kernel's image.
//!
//! A driver that is built in must be in the kernel's own tree. So such a kernel is built from a [`tree`](super::tree) with
//! two differences: `drivers/blockyard` is a copy of our kernel side, and `drivers/Makefile` has one line more.
//!
//! The copy is brought up to date before each build, and kbuild then makes only what changed: like a source folder of the
//! user's own, this tree has a state.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tree::Ours;
use crate::error::{Context, Kind, Result};
use crate::{files, modules, workspace};

/// Where our kernel side is in the tree.
const PLACE: &str = "blockyard";
/// The file that leads there.
const MAKEFILE: &str = "drivers/Makefile";

/// What is built in: the drivers, and the files that they are made of.
#[derive(Debug)]
pub(super) struct Builtin {
    /// Names of the drivers, sorted.
    pub(super) drivers: Vec<String>,
    /// Content of each file, by its path below `drivers/blockyard`.
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Builtin {
    /// These drivers; `None` for none. An error of [`Kind::Usage`] names the known ones if one is unknown.
    pub(super) fn new(drivers: &[String]) -> Result<Option<Self>> {
        if drivers.is_empty() {
            return Ok(None);
        }
        let source = workspace::kernel_side()?;
        let mut drivers = modules::choose(&source, drivers)?;
        drivers.sort();
        drivers.dedup();
        let mut files = BTreeMap::new();
        for part in ["Kbuild", "bindings", "kit", "abi"] {
            collect(&source, Path::new(part), &mut files)?;
        }
        for driver in &drivers {
            collect(&source, &Path::new("drivers").join(driver), &mut files)?;
        }
        // The Kbuild file reads the drivers' names from here.
        files.insert("builtin".into(), format!("DRIVERS := {}\n", drivers.join(" ")).into_bytes());
        Ok(Some(Self { drivers, files }))
    }

    /// A hash that changes when a file does.
    pub(super) fn state(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, content) in &self.files {
            for part in [path.as_os_str().as_bytes(), content] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What a source has to have for them: our kernel side, and a line that leads there.
    pub(super) fn add_to(&self, ours: &mut Ours, source: &Path) -> Result<()> {
        let makefile = files::read(&source.join(MAKEFILE))?;
        ours.insert(MAKEFILE.into(), format!("{makefile}\nobj-y += {PLACE}/\n").into_bytes());
        let place = Path::new("drivers").join(PLACE);
        ours.extend(self.files.iter().map(|(path, content)| (place.join(path), content.clone())));
        Ok(())
    }
}

/// Reads the files below `part` of `source`, through links.
fn collect(source: &Path, part: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let path = source.join(part);
    if !path.is_dir() {
        let content =
            std::fs::read(&path).context(Kind::NotFound, || format!("cannot read {}", path.display()))?;
        found.insert(part.to_owned(), content);
        return Ok(());
    }
    for child in files::children(&path)? {
        collect(source, &part.join(child.file_name().unwrap_or_default()), found)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_makefile_of_drivers_leads_to_our_side() {
        let source = tempfile::tempdir().unwrap();
        std::fs::create_dir(source.path().join("drivers")).unwrap();
        std::fs::write(source.path().join("drivers/Makefile"), "obj-y += net/\n").unwrap();
        let files = BTreeMap::from([(PathBuf::from("kit/kit.rs"), b"kit".to_vec())]);
        let mut ours = Ours::new();
        Builtin { drivers: vec!["hello".into()], files }.add_to(&mut ours, source.path()).unwrap();
        let expected = [
            ("drivers/Makefile", "obj-y += net/\n\nobj-y += blockyard/\n"),
            ("drivers/blockyard/kit/kit.rs", "kit"),
        ];
        let expected = expected.map(|(path, content)| (PathBuf::from(path), content.as_bytes().to_vec()));
        assert_eq!(ours, Ours::from(expected));
    }

    #[test]
    fn another_file_is_another_state() {
        let of = |content: &str| {
            let files = BTreeMap::from([(PathBuf::from("kit/kit.rs"), content.as_bytes().to_vec())]);
            Builtin { drivers: vec!["hello".into()], files }.state()
        };
        assert_eq!(of("kit"), of("kit"));
        assert_ne!(of("kit"), of("new kit"));
    }

    #[test]
    fn our_own_kernel_side_is_collected_through_its_links() {
        let ours = Builtin::new(&["hello".into(), "hello".into()]).unwrap().unwrap();
        assert_eq!(ours.drivers, ["hello"]);
        for file in
            ["Kbuild", "builtin", "kit/kit.rs", "abi/lib.rs", "drivers/hello/hello.rs", "bindings/headers.h"]
        {
            assert!(ours.files.contains_key(Path::new(file)), "{file} is missing");
        }
        assert!(!ours.files.keys().any(|f| f.starts_with("drivers/simblk")));
    }

    #[test]
    fn an_unknown_driver_is_wrong_use() {
        assert_eq!(Builtin::new(&["no-such".into()]).unwrap_err().kind(), Kind::Usage);
        assert!(Builtin::new(&[]).unwrap().is_none());
    }
}
