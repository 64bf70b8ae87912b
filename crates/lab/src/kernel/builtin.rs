// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drivers of ours as part of the kernel's image.
//!
//! A driver that is built in must be in the kernel's own tree. The one in the cache is shared by all kernels and does
//! not change, and a copy of it would be a gigabyte. So such a kernel is built from a tree of links into it, with
//! two differences: `drivers/blockyard` is a copy of our kernel side, and `drivers/Makefile` has one line more.
//!
//! The copy is brought up to date before each build, and kbuild then makes only what changed: like a source folder of the
//! user's own, this tree has a state.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Kind, Result};
use crate::{files, modules, workspace};

/// Where our kernel side is in the tree.
const PLACE: &str = "blockyard";

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

    /// Makes the tree at `tree`, of links to `source`, or brings the one that is there up to date.
    pub(super) fn lay_out(&self, tree: &Path, source: &Path) -> Result<()> {
        links(source, tree, "drivers")?;
        let (from, to) = (source.join("drivers"), tree.join("drivers"));
        links(&from, &to, "Makefile")?;
        let makefile = files::read(&from.join("Makefile"))?;
        update(&to.join("Makefile"), format!("{makefile}\nobj-y += {PLACE}/\n").as_bytes())?;
        let ours = to.join(PLACE);
        files::create_dir(&ours)?;
        remove_others(&ours, Path::new(""), &self.files)?;
        self.files.iter().try_for_each(|(path, content)| update(&ours.join(path), content))
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

/// Makes a folder whose children are links to those of `from`, all but one.
fn links(from: &Path, to: &Path, but: &str) -> Result<()> {
    files::create_dir(to)?;
    for child in files::children(from)? {
        let name = child.file_name().unwrap_or_default();
        let link = to.join(name);
        if name == but || std::fs::read_link(&link).is_ok_and(|target| target == child) {
            continue;
        }
        files::remove(&link)?;
        std::os::unix::fs::symlink(&child, &link)
            .context(Kind::Lab, || format!("cannot make the link {}", link.display()))?;
    }
    Ok(())
}

/// Writes a file unless it is like that already: make goes by the time of the last change.
fn update(path: &Path, content: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    path.parent().map_or(Ok(()), files::create_dir)?;
    files::write(path, content)
}

/// Removes what an earlier state of our kernel side had and this one has not.
fn remove_others(root: &Path, part: &Path, wanted: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for child in files::children(&root.join(part))? {
        let part = part.join(child.file_name().unwrap_or_default());
        if child.is_dir() {
            remove_others(root, &part, wanted)?;
        } else if !wanted.contains_key(&part) {
            files::remove(&child)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn source() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["mm", "drivers/net"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for (file, content) in
            [("Makefile", "top"), ("mm/slab.c", "slab"), ("drivers/Makefile", "obj-y += net/\n")]
        {
            std::fs::write(dir.path().join(file), content).unwrap();
        }
        dir
    }

    fn builtin(files: &[(&str, &str)]) -> Builtin {
        let files = files.iter().map(|(path, content)| (PathBuf::from(path), content.as_bytes().to_vec()));
        Builtin { drivers: vec!["hello".into()], files: files.collect() }
    }

    fn changed(path: PathBuf) -> SystemTime {
        path.metadata().unwrap().modified().unwrap()
    }

    #[test]
    fn the_tree_is_the_source_with_one_line_and_our_side_more() {
        let (source, dir) = (source(), tempfile::tempdir().unwrap());
        let tree = dir.path().join("tree");
        builtin(&[("Kbuild", "ours"), ("kit/kit.rs", "kit")]).lay_out(&tree, source.path()).unwrap();
        let read = |file: &str| files::read(&tree.join(file)).unwrap();
        assert_eq!((read("Makefile").as_str(), read("mm/slab.c").as_str()), ("top", "slab"));
        assert_eq!(read("drivers/Makefile"), "obj-y += net/\n\nobj-y += blockyard/\n");
        assert_eq!(read("drivers/blockyard/kit/kit.rs"), "kit");
        assert!(tree.join("drivers/net").is_symlink() && tree.join("mm").is_symlink());
        assert_eq!(files::read(&source.path().join("drivers/Makefile")).unwrap(), "obj-y += net/\n");
        assert!(!source.path().join("drivers/blockyard").exists());
    }

    #[test]
    fn only_what_changed_is_written_again() {
        let (source, dir) = (source(), tempfile::tempdir().unwrap());
        let tree = dir.path().join("tree");
        let before = builtin(&[("Kbuild", "ours"), ("kit/kit.rs", "kit"), ("kit/old.rs", "old")]);
        before.lay_out(&tree, source.path()).unwrap();
        let ours = tree.join("drivers/blockyard");
        let times = |name: &str| changed(ours.join(name));
        let (kbuild, makefile) = (times("Kbuild"), changed(tree.join("drivers/Makefile")));
        let after = builtin(&[("Kbuild", "ours"), ("kit/kit.rs", "new kit")]);
        assert_ne!(before.state(), after.state());
        after.lay_out(&tree, source.path()).unwrap();
        assert_eq!((times("Kbuild"), changed(tree.join("drivers/Makefile"))), (kbuild, makefile));
        assert_eq!(files::read(&ours.join("kit/kit.rs")).unwrap(), "new kit");
        assert!(!ours.join("kit/old.rs").exists());
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
