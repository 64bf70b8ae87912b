// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks of a machine, as the user describes them.

use std::fs::File;
use std::os::fd::AsRawFd;
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

    /// The image; makes that of an empty disk, on the file system of `folder`.
    pub(super) fn image(&self, folder: &Path) -> Result<Image> {
        match &self.source {
            Source::Empty(bytes) => empty(*bytes, folder).context(Kind::Lab, || {
                format!("cannot make a disk of {bytes} bytes in {}", folder.display())
            }),
            Source::File(path) => {
                let path =
                    path.canonicalize().context(Kind::NotFound, || format!("no image {}", path.display()))?;
                let format = format(&path)?;
                Ok(Image { path, format, scratch: None })
            }
        }
    }
}

/// What QEMU opens for a disk.
#[derive(Debug)]
pub(super) struct Image {
    pub path: PathBuf,
    /// `raw` or `qcow2`.
    pub format: &'static str,
    /// The file of an empty disk. The path leads to it while this is open.
    pub scratch: Option<File>,
}

/// A file without a name: it goes with the last process that has it open, however that one ends.
fn empty(bytes: u64, folder: &Path) -> std::io::Result<Image> {
    let file = tempfile::tempfile_in(folder)?;
    file.set_len(bytes)?;
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    Ok(Image { path, format: "raw", scratch: Some(file) })
}

fn format(path: &Path) -> Result<&'static str> {
    use std::io::Read;
    let mut magic = Vec::new();
    let file =
        File::open(path).context(Kind::NotFound, || format!("cannot open the image {}", path.display()))?;
    file.take(4).read_to_end(&mut magic).context(Kind::Lab, || format!("cannot read {}", path.display()))?;
    Ok(if magic == QCOW2 { "qcow2" } else { "raw" })
}
