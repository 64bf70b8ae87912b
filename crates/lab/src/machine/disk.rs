// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks of a machine, as the user describes them.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Context, Kind, Result};

/// How a qcow2 image begins.
const QCOW2: &[u8] = b"QFI\xfb";

/// A disk to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    source: Source,
    pub(super) serial: Option<String>,
    pub(super) read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Empty(u64),
    File(PathBuf),
}

impl Disk {
    /// An empty disk of this many bytes (rounded up to a sector), which is gone with the guest.
    pub fn size(bytes: u64) -> Self {
        Self::of(Source::Empty(bytes.next_multiple_of(512)))
    }

    /// An image file, raw or qcow2, that the guest writes to.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Source::File(path.into()))
    }

    fn of(source: Source) -> Self {
        Self { source, serial: None, read_only: false }
    }

    /// What the guest finds it by, at most 20 bytes: `/dev/disk/by-id/virtio-SERIAL`. By default `disk0`, `disk1` and so on.
    #[must_use]
    pub fn serial(mut self, serial: impl Into<String>) -> Self {
        self.serial = Some(serial.into());
        self
    }

    /// Refuses writes.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The image file and its format; makes the file of an empty disk.
    pub(super) fn image(&self, id: &str, folder: &Path) -> Result<(PathBuf, &'static str)> {
        match &self.source {
            Source::Empty(bytes) => Ok((empty(*bytes, &folder.join(format!("{id}.raw")))?, "raw")),
            Source::File(path) => {
                let path =
                    path.canonicalize().context(Kind::NotFound, || format!("no image {}", path.display()))?;
                let format = format(&path)?;
                Ok((path, format))
            }
        }
    }
}

fn empty(bytes: u64, path: &Path) -> Result<PathBuf> {
    let made = File::create(path).and_then(|file| file.set_len(bytes));
    made.context(Kind::Lab, || format!("cannot make a disk of {bytes} bytes at {}", path.display()))?;
    Ok(path.to_owned())
}

fn format(path: &Path) -> Result<&'static str> {
    use std::io::Read;
    let mut magic = Vec::new();
    let file =
        File::open(path).context(Kind::NotFound, || format!("cannot open the image {}", path.display()))?;
    file.take(4).read_to_end(&mut magic).context(Kind::Lab, || format!("cannot read {}", path.display()))?;
    Ok(if magic == QCOW2 { "qcow2" } else { "raw" })
}
