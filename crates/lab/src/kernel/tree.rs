// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's source with a few files of ours in it.
//!
//! The source in the cache is shared by all kernels and does not change, and a copy of it would be a gigabyte. So a
//! kernel that needs another source is built from a tree of links into it, in which only the folders on the way to what
//! differs are folders.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Context, Kind, Result};
use crate::files;

/// What differs: the content of each file that is ours, by its path in the tree. A folder that the source does not have holds
/// these and nothing else.
pub(super) type Ours = BTreeMap<PathBuf, Vec<u8>>;

/// Makes the tree at `tree`, or brings the one that is there up to date: a file that is as it should be is not written, as
/// make goes by the time of the last change.
pub(super) fn lay_out(tree: &Path, source: &Path, ours: &Ours) -> Result<()> {
    lay_out_folder(tree, source, Path::new(""), ours)
}

fn lay_out_folder(tree: &Path, source: &Path, part: &Path, ours: &Ours) -> Result<()> {
    let (to, from) = (tree.join(part), source.join(part));
    if to.is_symlink() || to.is_file() {
        files::remove(&to)?;
    }
    files::create_dir(&to)?;
    let different: BTreeSet<&OsStr> =
        ours.keys().filter_map(|path| path.strip_prefix(part).ok()?.iter().next()).collect();
    let theirs = if from.is_dir() { files::children(&from)? } else { Vec::new() };
    let kept: BTreeSet<&OsStr> =
        theirs.iter().filter_map(|child| child.file_name()).chain(different.iter().copied()).collect();
    for stale in files::children(&to)? {
        if !stale.file_name().is_some_and(|name| kept.contains(name)) {
            files::remove(&stale)?;
        }
    }
    for child in &theirs {
        let name = child.file_name().unwrap_or_default();
        if !different.contains(name) {
            link(child, &to.join(name))?;
        }
    }
    for name in different {
        let part = part.join(name);
        match ours.get(&part) {
            Some(content) => update(&tree.join(&part), content)?,
            None => lay_out_folder(tree, source, &part, ours)?,
        }
    }
    Ok(())
}

fn link(target: &Path, link: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    files::remove(link)?;
    std::os::unix::fs::symlink(target, link)
        .context(Kind::Lab, || format!("cannot make the link {}", link.display()))
}

fn update(path: &Path, content: &[u8]) -> Result<()> {
    // What a link leads to is the source's.
    if path.is_symlink() || path.is_dir() {
        files::remove(path)?;
    }
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    files::write(path, content)
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

    fn ours(files: &[(&str, &str)]) -> Ours {
        files.iter().map(|(path, content)| (PathBuf::from(path), content.as_bytes().to_vec())).collect()
    }

    fn changed(path: PathBuf) -> SystemTime {
        path.metadata().unwrap().modified().unwrap()
    }

    #[test]
    fn the_tree_is_the_source_with_our_files_in_it() {
        let (source, dir) = (source(), tempfile::tempdir().unwrap());
        let tree = dir.path().join("tree");
        let ours = ours(&[("drivers/Makefile", "ours"), ("drivers/blockyard/kit/kit.rs", "kit")]);
        lay_out(&tree, source.path(), &ours).unwrap();
        let read = |file: &str| files::read(&tree.join(file)).unwrap();
        assert_eq!((read("Makefile").as_str(), read("mm/slab.c").as_str()), ("top", "slab"));
        assert_eq!(read("drivers/Makefile"), "ours");
        assert_eq!(read("drivers/blockyard/kit/kit.rs"), "kit");
        assert!(tree.join("drivers/net").is_symlink() && tree.join("mm").is_symlink());
        assert_eq!(files::read(&source.path().join("drivers/Makefile")).unwrap(), "obj-y += net/\n");
        assert!(!source.path().join("drivers/blockyard").exists());
    }

    #[test]
    fn only_what_changed_is_written_again() {
        let (source, dir) = (source(), tempfile::tempdir().unwrap());
        let tree = dir.path().join("tree");
        let before = [("drivers/b/Kbuild", "ours"), ("drivers/b/kit.rs", "kit"), ("drivers/b/old.rs", "old")];
        lay_out(&tree, source.path(), &ours(&before)).unwrap();
        let kbuild = tree.join("drivers/b/Kbuild");
        let then = changed(kbuild.clone());
        let after = [("drivers/b/Kbuild", "ours"), ("drivers/b/kit.rs", "new kit")];
        lay_out(&tree, source.path(), &ours(&after)).unwrap();
        assert_eq!(changed(kbuild), then);
        assert_eq!(files::read(&tree.join("drivers/b/kit.rs")).unwrap(), "new kit");
        assert!(!tree.join("drivers/b/old.rs").exists());
        let folder = [("drivers/b/Kbuild", "ours"), ("drivers/b/kit.rs/new.rs", "a folder now")];
        lay_out(&tree, source.path(), &ours(&folder)).unwrap();
        assert_eq!(files::read(&tree.join("drivers/b/kit.rs/new.rs")).unwrap(), "a folder now");
        lay_out(&tree, source.path(), &ours(&after)).unwrap();
        assert_eq!(files::read(&tree.join("drivers/b/kit.rs")).unwrap(), "new kit");
    }

    #[test]
    fn a_link_gives_way_to_what_differs_and_comes_back() {
        let (source, dir) = (source(), tempfile::tempdir().unwrap());
        let tree = dir.path().join("tree");
        lay_out(&tree, source.path(), &Ours::new()).unwrap();
        assert!(tree.join("mm").is_symlink());
        lay_out(&tree, source.path(), &ours(&[("mm/slab.c", "ours")])).unwrap();
        assert_eq!(files::read(&tree.join("mm/slab.c")).unwrap(), "ours");
        assert_eq!(files::read(&source.path().join("mm/slab.c")).unwrap(), "slab");
        lay_out(&tree, source.path(), &Ours::new()).unwrap();
        assert!(tree.join("mm").is_symlink());
        assert_eq!(files::read(&tree.join("mm/slab.c")).unwrap(), "slab");
    }
}
