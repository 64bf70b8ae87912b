// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that a conversation started, however far it forked: a control group.
//!
//! A process can leave its process group and its session, but not its cgroup. A kernel without cgroups keeps
//! the process groups, which each command's stream ends by itself.

use std::fs::File;
use std::path::{Path, PathBuf};

/// A cgroup for one conversation; none if the kernel has no cgroups.
pub struct Group(Option<PathBuf>);

impl Group {
    /// Makes one, and removes those of earlier conversations that are empty by now.
    pub fn new(port: &str, nonce: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        if !root.join("cgroup.procs").exists() {
            return Self(None);
        }
        for old in std::fs::read_dir(root).into_iter().flatten().flatten() {
            if old.file_name().to_string_lossy().starts_with(port) {
                // Fails while something runs in it, which is why it is kept.
                let _ = std::fs::remove_dir(old.path());
            }
        }
        let path = root.join(format!("{port}.{nonce:016x}"));
        Self(std::fs::create_dir(&path).ok().map(|()| path))
    }

    /// Where a process writes `0` to join.
    pub fn door(&self) -> Option<File> {
        self.0.as_ref().and_then(|path| File::options().write(true).open(path.join("cgroup.procs")).ok())
    }

    /// Kills everything in it.
    pub fn kill(&self) {
        if let Some(path) = &self.0 {
            // Nothing to kill is what was wanted.
            let _ = std::fs::write(path.join("cgroup.kill"), "1");
        }
    }
}
