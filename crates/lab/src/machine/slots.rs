// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ports of one machine, and what is in them: disks with their serials, devices with their names.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::Disk;
use crate::error::{Error, Kind, Result};
use crate::qemu::{self, Drive, MAX_PORTS};
use crate::vhost_user::{Frontend, Reconnect, Shape};

/// The longest serial that virtio-blk carries, in bytes (`VIRTIO_BLK_ID_BYTES` in `linux/virtio_blk.h`).
const MAX_SERIAL: usize = 20;

/// The ports of one machine and what is in them.
#[derive(Debug)]
pub(crate) struct Slots {
    drives: Vec<Drive>,
    /// The files of those that began empty, by serial. They have no names: QEMU opens them through this process.
    scratch: BTreeMap<String, File>,
    frontends: Vec<Frontend>,
    placed: usize,
    /// How many ports there are.
    ports: u8,
}

impl Slots {
    /// All ports that a machine can have, until it boots with what it needs.
    pub(crate) fn new() -> Self {
        Self {
            drives: Vec::new(),
            scratch: BTreeMap::new(),
            frontends: Vec::new(),
            placed: 0,
            ports: MAX_PORTS,
        }
    }

    /// The machine boots: from now on it has the ports that are in use and some more.
    pub(crate) fn boot(&mut self) {
        let used = self.used().map(|port| port + 1).max().unwrap_or(0);
        self.ports = qemu::ports(used);
    }

    /// How many ports there are.
    pub(crate) fn ports(&self) -> u8 {
        self.ports
    }

    /// The disks that are placed, in order.
    pub(crate) fn drives(&self) -> &[Drive] {
        &self.drives
    }

    /// The devices that are placed, in order.
    pub(crate) fn frontends(&self) -> &[Frontend] {
        &self.frontends
    }

    /// The disk of this serial.
    pub(crate) fn find(&self, serial: &str) -> Option<&Drive> {
        self.drives.iter().find(|drive| drive.serial == serial)
    }

    /// The device of this name.
    pub(crate) fn find_device(&self, name: &str) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| frontend.name == name)
    }

    /// Gives a disk the first free port; the image of an empty one is made on the file system of `folder`.
    pub(crate) fn place(&mut self, disk: &Disk, folder: &Path) -> Result<Drive> {
        let id = format!("disk{}", self.placed);
        let serial = disk.serial.clone().unwrap_or_else(|| id.clone());
        self.check_serial(&serial)?;
        let port = self.free_port()?;
        let image = disk.image(folder)?;
        let (file, format) = (image.path, image.format.into());
        let drive = Drive { id, file, format, serial, port, read_only: disk.read_only };
        self.placed += 1;
        self.scratch.extend(image.scratch.map(|file| (drive.serial.clone(), file)));
        self.drives.push(drive.clone());
        Ok(drive)
    }

    /// A name for a device that is to be placed: its own, or else the first free one of its type.
    pub(crate) fn name_for(&self, own: Option<&str>, kind: &str) -> Result<String> {
        match own {
            Some(name) if self.find_device(name).is_some() => {
                Err(Error::new(Kind::Usage, format!("two devices with the name {name}")))
            }
            Some(name) => Ok(name.to_owned()),
            None => {
                let mut names = (0u32..).map(|n| format!("{kind}{n}"));
                Ok(names.find(|name| self.find_device(name).is_none()).unwrap_or_default())
            }
        }
    }

    /// Gives a device the first free port.
    pub(crate) fn place_device(
        &mut self,
        name: &str,
        shape: &Shape,
        socket: &Path,
        reconnect: Reconnect,
    ) -> Result<Frontend> {
        let port = self.free_port()?;
        let reconnect = shape.reconnects().then_some(reconnect);
        let (name, socket, shape) = (name.to_owned(), socket.to_owned(), shape.clone());
        let frontend = Frontend { name, socket, shape, port, reconnect };
        self.frontends.push(frontend.clone());
        Ok(frontend)
    }

    /// Forgets a disk, and what was on it if it began empty.
    pub(crate) fn release(&mut self, serial: &str) {
        self.drives.retain(|drive| drive.serial != serial);
        self.scratch.remove(serial);
    }

    /// Forgets a device.
    pub(crate) fn release_device(&mut self, name: &str) {
        self.frontends.retain(|frontend| frontend.name != name);
    }

    fn used(&self) -> impl Iterator<Item = u8> {
        let drives = self.drives.iter().map(|drive| drive.port);
        drives.chain(self.frontends.iter().map(|frontend| frontend.port))
    }

    fn free_port(&self) -> Result<u8> {
        (0..self.ports).find(|port| self.used().all(|used| used != *port)).ok_or_else(|| {
            let message = format!("this machine has ports for {} disks and devices, all in use", self.ports);
            Error::new(Kind::Usage, message)
        })
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

    fn filled(disks: &[Disk], folder: &Path) -> Result<Slots> {
        let mut slots = Slots::new();
        disks.iter().try_for_each(|disk| slots.place(disk, folder).map(drop))?;
        slots.boot();
        Ok(slots)
    }

    fn shape(kind: &str) -> Shape {
        Shape { kind: kind.into(), virtio_id: 2, queues: 1, queue_size: 128, config_size: 0 }
    }

    #[test]
    fn devices_come_after_the_disks_and_are_named_by_their_type() {
        let dir = tempfile::tempdir().unwrap();
        let mut slots = filled(&[Disk::size(512)], dir.path()).unwrap();
        for expected in ["blk0", "blk1"] {
            let name = slots.name_for(None, "blk").unwrap();
            assert_eq!(name, expected);
            slots.place_device(&name, &shape("blk"), Path::new("/s"), Reconnect::Seconds).unwrap();
        }
        let ports: Vec<u8> = slots.used().collect();
        assert_eq!(ports, [0, 1, 2]);
        slots.release_device("blk0");
        assert_eq!(slots.name_for(None, "blk").unwrap(), "blk0");
        assert_eq!(slots.name_for(Some("blk1"), "blk").unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn disks_get_ports_in_order_and_serials_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let slots = filled(&[Disk::size(1000), Disk::size(4096).serial("data")], dir.path()).unwrap();
        let drives = slots.drives();
        assert_eq!((drives[0].serial.as_str(), drives[1].serial.as_str()), ("disk0", "data"));
        assert!(drives[0].port < drives[1].port);
        assert_eq!(std::fs::metadata(&drives[0].file).unwrap().len(), 1024);
    }

    #[test]
    fn a_released_port_is_used_again_and_what_was_on_its_disk_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut slots = filled(&[Disk::size(512)], dir.path()).unwrap();
        let first = slots.drives()[0].clone();
        std::fs::write(&first.file, [1; 512]).unwrap();
        slots.release("disk0");
        let second = slots.place(&Disk::size(512), dir.path()).unwrap();
        assert_eq!(first.port, second.port);
        assert_eq!(std::fs::read(&second.file).unwrap(), [0; 512]);
    }

    #[test]
    fn the_file_of_an_empty_disk_has_no_name_that_could_be_left() {
        let dir = tempfile::tempdir().unwrap();
        let slots = filled(&[Disk::size(512)], dir.path()).unwrap();
        assert_eq!(std::fs::metadata(&slots.drives()[0].file).unwrap().len(), 512);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn serials_that_the_guest_could_not_see_whole_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for serial in ["", "123456789012345678901", "a,b", "a b", "blockyard-root"] {
            let placed = filled(&[Disk::size(512).serial(serial)], dir.path());
            assert_eq!(placed.unwrap_err().kind(), Kind::Usage, "{serial:?}");
        }
        let twice = [Disk::size(512).serial("a"), Disk::size(512).serial("a")];
        assert!(filled(&twice, dir.path()).is_err());
    }

    #[test]
    fn an_image_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = filled(&[Disk::file("/no/such.img")], dir.path()).unwrap_err();
        assert!(error.to_string().contains("/no/such.img"));
    }
}
