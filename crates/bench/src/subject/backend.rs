// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides of a virtio disk. What serves it on the host: ours over vhost-user, QEMU's storage daemon over vhost-user, and
//! QEMU itself. What drives it in the guest: our driver and the kernel's, each on a disk of QEMU's. All keep their data in
//! the host's memory: our device in its own, the others in a file of a tmpfs.

use std::path::{Path, PathBuf};

use blockyard_lab::error::Context;
use blockyard_lab::vhost_user::Shape;
use blockyard_lab::{Device, Disk, Guest, Kind, MachineBuilder, Result, process};

use super::{Contender, DISK_MIB, Subject};
use crate::workload::Suite;

/// Where the nodes are found under names of ours.
const NODES: &str = "/run/bench-nodes";
/// Where a file is memory.
const TMPFS: &str = "/dev/shm";
const DAEMON: &str = "qemu-storage-daemon";
/// How udev's name for a disk of QEMU's begins.
const BY_ID: &str = "/dev/disk/by-id/virtio-bench-";

/// Our vhost-user disk.
pub fn vhost_user_blk() -> Subject {
    Subject {
        name: "vhost_user_blk",
        suite: Suite::Backend,
        up: String::new(),
        down: String::new(),
        ours: contender("blockyard-device", "blk0"),
        peers: vec![contender(DAEMON, "qsd0"), contender("qemu-virtio-blk", "qemu")],
        plug: Some(plug),
        mib: DISK_MIB,
    }
}

/// Our driver.
pub fn virtio_simblk() -> Subject {
    let drivers = "/sys/bus/virtio/drivers";
    let find = format!(
        "device=$(basename $(readlink -f /sys/class/block/$(basename $(readlink -f {BY_ID}ours))/device))"
    );
    Subject {
        name: "virtio_simblk",
        suite: Suite::Backend,
        up: String::new(),
        down: String::new(),
        ours: Contender {
            name: "virtio_simblk",
            needs: super::disk::module("virtio_simblk"),
            up: format!(
                "modprobe virtio_simblk\n{find}\necho $device >{NODES}/device\n\
                 echo $device >{drivers}/virtio_blk/unbind\necho $device >{drivers}/virtio_simblk/bind"
            ),
            down: format!("rmmod virtio_simblk\ncat {NODES}/device >{drivers}/virtio_blk/bind"),
            device: "/dev/vsim0".into(),
            bring: None,
        },
        peers: vec![contender("virtio_blk", "theirs")],
        plug: Some(plug_for_drivers),
        mib: DISK_MIB,
    }
}

/// Our device and driver that echo: from the guest to the host and back, beside a sector of QEMU's disk.
pub fn virtio_hello() -> Subject {
    let device = "/dev/virtio_hello0-echo";
    Subject {
        name: "virtio_hello",
        suite: Suite::Echo,
        up: String::new(),
        down: String::new(),
        ours: Contender {
            name: "virtio_hello",
            needs: super::disk::module("virtio_hello"),
            up: format!("modprobe virtio_hello\nudevadm wait --timeout=60 {device}"),
            down: "rmmod virtio_hello".into(),
            device: device.into(),
            bring: None,
        },
        peers: vec![contender("qemu-virtio-blk", "qemu")],
        plug: Some(plug_for_trips),
        mib: DISK_MIB,
    }
}

fn contender(name: &'static str, node: &str) -> Contender {
    let device = format!("{NODES}/{node}");
    let needs = format!("test -b {device}");
    Contender { name, needs, up: String::new(), down: String::new(), device, bring: None }
}

/// The files behind the disks, which go with this.
pub struct Plugged {
    folder: tempfile::TempDir,
    /// The disks of QEMU's, by the end of their serial number.
    disks: Vec<&'static str>,
    /// The devices over vhost-user, by the lab's name.
    devices: Vec<&'static str>,
}

impl Plugged {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("blockyard-bench-").tempdir_in(TMPFS);
        let folder = folder.context(Kind::Lab, || format!("cannot make a folder in {TMPFS}"))?;
        Ok(Self { folder, disks: Vec::new(), devices: Vec::new() })
    }

    /// A new file that is memory.
    fn image(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let made = std::fs::File::create(&path).and_then(|file| file.set_len(DISK_MIB << 20));
        made.context(Kind::Lab, || format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Adds a disk that QEMU itself serves.
    fn disk(&mut self, machine: MachineBuilder, name: &'static str) -> Result<MachineBuilder> {
        let disk = Disk::file(self.image(name)?).serial(format!("bench-{name}"));
        self.disks.push(name);
        Ok(machine.disk(disk))
    }

    /// Makes the names of the nodes, in the guest.
    pub fn name_nodes(&self, guest: &Guest) -> Result<()> {
        guest.check(&format!("udevadm settle --timeout=60; mkdir -p {NODES}"))?;
        for name in &self.disks {
            guest.check(&format!("ln -s $(readlink -f {BY_ID}{name}) {NODES}/{name}"))?;
        }
        for name in &self.devices {
            let sysfs = guest.device(name)?.sysfs()?;
            guest.check(&format!("ln -s /dev/$(ls {sysfs}/block) {NODES}/{name}"))?;
        }
        Ok(())
    }
}

/// Adds a disk of each server to a machine.
fn plug(machine: MachineBuilder) -> Result<(MachineBuilder, Plugged)> {
    let mut plugged = Plugged::new()?;
    let machine = plugged.disk(machine, "qemu")?.device(Device::new(format!("blk,size={DISK_MIB}M")));
    plugged.devices.push("blk0");
    let machine = match process::find_program(DAEMON) {
        Some(program) => {
            plugged.devices.push("qsd0");
            machine.device(daemon(program, &plugged.image("daemon")?))
        }
        // Then its contender finds no node, and is reported as missing.
        None => machine,
    };
    Ok((machine, plugged))
}

/// Adds a disk for each driver to a machine.
fn plug_for_drivers(machine: MachineBuilder) -> Result<(MachineBuilder, Plugged)> {
    let mut plugged = Plugged::new()?;
    let machine = plugged.disk(machine, "ours")?;
    let machine = plugged.disk(machine, "theirs")?;
    Ok((machine, plugged))
}

/// Adds what makes round trips to a machine.
fn plug_for_trips(machine: MachineBuilder) -> Result<(MachineBuilder, Plugged)> {
    let mut plugged = Plugged::new()?;
    let machine = plugged.disk(machine, "qemu")?.device(Device::new("hello"));
    Ok((machine, plugged))
}

fn daemon(program: PathBuf, image: &Path) -> Device {
    let shape = Shape { kind: "qsd".into(), virtio_id: 2, queues: 1, queue_size: 128, config_size: 60 };
    let node = format!("driver=file,node-name=disk,filename={}", image.display());
    let export = "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path={socket}";
    Device::program(shape, program, ["--blockdev", &node, "--export", export])
}
