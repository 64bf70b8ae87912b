// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks of a machine: described by the user, then placed in a slot with a serial.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};
use crate::qemu::{self, Drive, MAX_DISKS};

/// The longest serial that virtio-blk carries, in bytes (`VIRTIO_BLK_ID_BYTES` in `linux/virtio_blk.h`).
const MAX_SERIAL: usize = 20;
/// How a qcow2 image begins.
const QCOW2: &[u8] = b"QFI\xfb";

/// A disk to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    source: Source,
    serial: Option<String>,
    read_only: bool,
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
    fn image(&self, id: &str, folder: &Path) -> Result<(PathBuf, &'static str)> {
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

/// The ports of one machine and what is in them.
#[derive(Debug)]
pub(crate) struct Slots {
    drives: Vec<Drive>,
    placed: usize,
    /// How many ports there are.
    ports: u8,
}

impl Slots {
    /// Places these disks in order.
    pub(crate) fn fill(disks: &[Disk], folder: &Path) -> Result<Self> {
        let mut slots = Self { drives: Vec::new(), placed: 0, ports: MAX_DISKS };
        for disk in disks {
            slots.place(disk.clone(), folder)?;
        }
        slots.ports = qemu::ports(&slots.drives);
        Ok(slots)
    }

    /// What is placed, in order.
    pub(crate) fn drives(&self) -> &[Drive] {
        &self.drives
    }

    pub(crate) fn find(&self, serial: &str) -> Option<&Drive> {
        self.drives.iter().find(|drive| drive.serial == serial)
    }

    /// Gives a disk the first free port; its image is made in `folder` if it is an empty one.
    pub(crate) fn place(&mut self, disk: Disk, folder: &Path) -> Result<Drive> {
        let id = format!("disk{}", self.placed);
        let serial = disk.serial.clone().unwrap_or_else(|| id.clone());
        self.check_serial(&serial)?;
        let port = (0..self.ports).find(|port| self.drives.iter().all(|drive| drive.port != *port));
        let port = port.ok_or_else(|| {
            Error::new(Kind::Usage, format!("this machine has ports for {} disks, all in use", self.ports))
        })?;
        let (file, format) = disk.image(&id, folder)?;
        let drive = Drive { id, file, format: format.into(), serial, port, read_only: disk.read_only };
        self.placed += 1;
        self.drives.push(drive.clone());
        Ok(drive)
    }

    /// Forgets a disk.
    pub(crate) fn release(&mut self, serial: &str) {
        self.drives.retain(|drive| drive.serial != serial);
    }

    fn check_serial(&self, serial: &str) -> Result<()> {
        let plain = serial.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain || serial.is_empty() || serial.len() > MAX_SERIAL {
            return Err(Error::new(Kind::Usage, format!("{serial:?} is no serial for a disk"))
                .with_help(format!("use up to {MAX_SERIAL} letters, digits, dashes, dots and underscores")));
        }
        match self.find(serial) {
            None if serial != blockyard_proto::ROOT_SERIAL => Ok(()),
            _ => Err(Error::new(Kind::Usage, format!("two disks with the serial {serial}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_get_ports_in_order_and_serials_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::fill(&[Disk::size(1000), Disk::size(4096).serial("data")], dir.path()).unwrap();
        let drives = slots.drives();
        assert_eq!((drives[0].serial.as_str(), drives[1].serial.as_str()), ("disk0", "data"));
        assert!(drives[0].port < drives[1].port);
        assert_eq!(std::fs::metadata(&drives[0].file).unwrap().len(), 1024);
    }

    #[test]
    fn a_released_port_is_used_again_and_its_image_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut slots = Slots::fill(&[Disk::size(512)], dir.path()).unwrap();
        let first = slots.drives()[0].clone();
        slots.release("disk0");
        let second = slots.place(Disk::size(512), dir.path()).unwrap();
        assert_eq!(first.port, second.port);
        assert_ne!(first.file, second.file);
    }

    #[test]
    fn serials_that_the_guest_could_not_see_whole_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for serial in ["", "123456789012345678901", "a,b", "a b", "blockyard-root"] {
            let placed =
                Slots::fill(&[], dir.path()).unwrap().place(Disk::size(512).serial(serial), dir.path());
            assert_eq!(placed.unwrap_err().kind(), Kind::Usage, "{serial:?}");
        }
        let twice = [Disk::size(512).serial("a"), Disk::size(512).serial("a")];
        assert!(Slots::fill(&twice, dir.path()).is_err());
    }

    #[test]
    fn an_image_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            Slots::fill(&[], dir.path()).unwrap().place(Disk::file("/no/such.img"), dir.path()).unwrap_err();
        assert!(error.to_string().contains("/no/such.img"));
    }
}
