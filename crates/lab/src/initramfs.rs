// SPDX-License-Identifier: MIT OR Apache-2.0
//! The initramfs of one boot: the agent, its configuration, the modules; a cpio archive of a megabyte or two.
//!
//! Everything that changes from run to run travels here, so that the root file system's image can be shared
//! and cached. The format is "newc" (`Documentation/driver-api/early-userspace/buffer-format.rst` in the kernel's
//! source), uncompressed: unpacking is then a copy, which counts under emulation. Every file is root's.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// An archive in the making. Folders above an entry are made as needed; paths are as in the guest.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder with mode 0755, and those above it.
    pub fn dir(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/').chain(std::iter::once((path.len(), ""))) {
            let folder = &path[..at];
            if !folder.is_empty() && self.folders.insert(folder.to_owned()) {
                self.entry(folder, S_IFDIR | 0o755, &[])?;
            }
        }
        Ok(())
    }

    /// Adds a file with these permission bits.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.parents(path)?;
        self.entry(path.trim_matches('/'), S_IFREG | (mode & 0o7777), content)
    }

    /// Adds a file of the host, with its permission bits.
    pub fn host_file(&mut self, path: &str, from: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let what = || format!("cannot read {}", from.display());
        let content = std::fs::read(from).context(Kind::NotFound, what)?;
        let mode = from.metadata().context(Kind::NotFound, what)?.permissions().mode();
        self.file(path, mode, &content)
    }

    /// Adds all that is in a folder of the host, symbolic links as links; anything else is passed over.
    pub fn host_tree(&mut self, path: &str, from: &Path) -> Result<()> {
        self.dir(path)?;
        for child in crate::files::children(from)? {
            let name = child.file_name().unwrap_or_default().to_string_lossy();
            let inside = format!("{path}/{name}");
            let meta = child
                .symlink_metadata()
                .context(Kind::Lab, || format!("cannot look at {}", child.display()))?;
            if meta.is_dir() {
                self.host_tree(&inside, &child)?;
            } else if meta.is_symlink() {
                let target =
                    child.read_link().context(Kind::Lab, || format!("cannot read {}", child.display()))?;
                self.symlink(&inside, &target.to_string_lossy())?;
            } else if meta.is_file() {
                self.host_file(&inside, &child)?;
            }
        }
        Ok(())
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.parents(path)?;
        self.entry(path.trim_matches('/'), S_IFLNK | 0o777, target.as_bytes())
    }

    /// Ends the archive and writes it.
    pub fn finish(mut self, mut to: impl Write) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        to.write_all(&self.bytes)
            .and_then(|()| to.flush())
            .context(Kind::Lab, || "cannot write the initramfs")
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        match path.trim_matches('/').rsplit_once('/') {
            Some((folder, _)) => self.dir(folder),
            None => Ok(()),
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len())
            .map_err(|_| Error::new(Kind::Usage, format!("{name} is too large for an initramfs (4 GiB)")))?;
        self.header(name, mode, size).context(Kind::Lab, || "cannot write the initramfs")?;
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    /// Thirteen numbers of eight hexadecimal digits after the magic. Time stamps and device numbers are 0: the
    /// same content, the same archive.
    fn header(&mut self, name: &str, mode: u32, size: u32) -> io::Result<()> {
        let links = if mode & S_IFDIR == S_IFDIR { 2 } else { 1 };
        let name_size = name.len() as u32 + 1;
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.write_all(b"070701")?;
        fields.iter().try_for_each(|field| write!(self.bytes, "{field:08X}"))
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Command, find_program};

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new();
        archive.file("/init", 0o755, b"#!/bin/sh\n").unwrap();
        archive.file("/lib/modules/7.3/a.ko", 0o644, b"abc").unwrap();
        archive.symlink("/lib/link", "modules").unwrap();
        let mut bytes = Vec::new();
        archive.finish(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn cpio_reads_back_what_was_put_in() {
        if find_program("cpio").is_none() {
            eprintln!("skipped: cpio is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let unpack = Command::new("cpio").args(["-idmu", "--no-absolute-filenames"]).current_dir(dir.path());
        unpack.stdin_bytes(&sample()).unwrap().run().unwrap();
        assert_eq!(std::fs::read(dir.path().join("lib/modules/7.3/a.ko")).unwrap(), b"abc");
        assert_eq!(std::fs::read_link(dir.path().join("lib/link")).unwrap(), Path::new("modules"));
    }

    #[test]
    fn entries_are_aligned_and_folders_come_once_and_first() {
        let text = String::from_utf8_lossy(&sample()).into_owned();
        let headers: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert!(headers.iter().all(|at| at % 4 == 0));
        assert_eq!(headers.len(), 7, "init, lib, lib/modules, lib/modules/7.3, a.ko, link, trailer");
        assert!(text.find("lib/modules\0").unwrap() < text.find("lib/modules/7.3\0").unwrap());
    }
}
