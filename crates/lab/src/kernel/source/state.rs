// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a source tree that is worked in looks like just now: a kernel that was built from another state is stale.
//!
//! Of a git tree, git knows what it tracks, by content. Of everything else only the names, sizes and times are looked
//! at, as `make` does: reading 1.3 GB at each boot would take longer than the boot.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Kind, Result};
use crate::files;
use crate::process::{Command, find_program};

/// A hash that changes when the tree does.
pub(super) fn of(dir: &Path) -> Result<String> {
    let mut state = State { root: dir, hasher: blake3::Hasher::new() };
    let git = dir.join(".git").exists() && find_program("git").is_some();
    if git {
        state.add_git()?
    } else {
        state.add_tree(dir)?
    }
    let how = if git { "git" } else { "files" };
    Ok(format!("{how} {}", state.hasher.finalize().to_hex()))
}

struct State<'a> {
    root: &'a Path,
    hasher: blake3::Hasher,
}

impl State<'_> {
    /// The commit, the differences of what is tracked, and the files that are not: a driver that is being written is
    /// one of these until its first commit, and the status names it without telling of its content.
    fn add_git(&mut self) -> Result<()> {
        for args in [&["rev-parse", "HEAD"][..], &["diff", "HEAD"], &["status", "--porcelain"]] {
            let said = self.git(args)?;
            self.add(&said);
        }
        let untracked = self.git(&["ls-files", "-z", "--others", "--exclude-standard"])?;
        for name in untracked.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let path = self.root.join(PathBuf::from(std::ffi::OsString::from_vec(name.to_vec())));
            self.add_tree(&path)?;
        }
        Ok(())
    }

    fn git(&self, args: &[&str]) -> Result<Vec<u8>> {
        Command::new("git").arg("-C").arg(self.root).args(args).read()
    }

    /// A file, or all of them in a folder but git's own. What vanishes meanwhile (an editor's draft) does not count.
    fn add_tree(&mut self, path: &Path) -> Result<()> {
        let meta = match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            meta => meta.context(Kind::Lab, || format!("cannot look at {}", path.display()))?,
        };
        if !meta.is_dir() {
            let name = path.strip_prefix(self.root).unwrap_or(path);
            self.add(name.as_os_str().as_bytes());
            for number in [meta.size().cast_signed(), meta.mtime(), meta.mtime_nsec()] {
                self.add(&number.to_le_bytes());
            }
            return Ok(());
        }
        let children = match files::children(path) {
            Err(_) if !path.exists() => return Ok(()),
            children => children?,
        };
        // A tree of somebody else's within this one is a folder to git.
        children.iter().filter(|child| !child.ends_with(".git")).try_for_each(|child| self.add_tree(child))
    }

    /// With its length, so that no two lists of parts are the same.
    fn add(&mut self, part: &[u8]) {
        self.hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::time::{Duration, SystemTime};

    fn git(dir: &Path, args: &[&str]) {
        let who = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
        Command::new("git").arg("-C").arg(dir).args(who).args(args).run().unwrap();
    }

    fn committed() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tracked.c"), "1").unwrap();
        std::fs::write(dir.path().join(".gitignore"), "*.o\n").unwrap();
        git(dir.path(), &["init", "--quiet"]);
        git(dir.path(), &["add", "."]);
        git(dir.path(), &["commit", "--quiet", "--message", "x"]);
        dir
    }

    #[test]
    fn an_edit_of_an_untracked_file_changes_a_git_trees_state() {
        let dir = committed();
        let new = dir.path().join("a new driver.c");
        std::fs::write(&new, "1").unwrap();
        let first = of(dir.path()).unwrap();
        assert_eq!(of(dir.path()).unwrap(), first);
        std::fs::write(&new, "12").unwrap();
        let longer = of(dir.path()).unwrap();
        assert_ne!(longer, first);
        set_time(&new, SystemTime::UNIX_EPOCH + Duration::from_nanos(1));
        assert_ne!(of(dir.path()).unwrap(), longer, "as long, and written at another time");
    }

    #[test]
    fn an_edit_in_a_git_tree_within_the_git_tree_changes_its_state() {
        let dir = committed();
        let inner = dir.path().join("drivers/mine");
        std::fs::create_dir_all(&inner).unwrap();
        git(&inner, &["init", "--quiet"]);
        let first = of(dir.path()).unwrap();
        std::fs::write(inner.join("x.c"), "1").unwrap();
        let second = of(dir.path()).unwrap();
        assert_ne!(second, first);
        git(&inner, &["add", "."]);
        assert_eq!(of(dir.path()).unwrap(), second, "git's own files are no source");
    }

    #[test]
    fn what_git_ignores_does_not_count_and_what_it_tracks_does() {
        let dir = committed();
        let first = of(dir.path()).unwrap();
        std::fs::write(dir.path().join("tracked.o"), "").unwrap();
        assert_eq!(of(dir.path()).unwrap(), first);
        std::fs::write(dir.path().join("tracked.c"), "2").unwrap();
        assert_ne!(of(dir.path()).unwrap(), first);
    }

    #[test]
    fn a_file_that_is_put_back_to_an_older_one_changes_a_folders_state() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old.c"), dir.path().join("new.c"));
        std::fs::write(&old, "1").unwrap();
        std::fs::write(&new, "1").unwrap();
        let first = of(dir.path()).unwrap();
        // The newest time of all stays as it is.
        set_time(&old, SystemTime::UNIX_EPOCH);
        assert_ne!(of(dir.path()).unwrap(), first);
    }

    fn set_time(path: &Path, time: SystemTime) {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    }
}
