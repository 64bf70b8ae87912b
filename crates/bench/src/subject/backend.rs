// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks that the guest sees as virtio-blk, and what serves them on the host: ours over vhost-user, QEMU's storage daemon over
//! vhost-user, and QEMU itself. All keep their data in the host's memory: ours in its own, the others in a file of a tmpfs.

use std::path::{Path, PathBuf};

use blockyard_lab::error::Context;
use blockyard_lab::vhost_user::Shape;
use blockyard_lab::{Device, Guest, Kind, MachineBuilder, Result, process};

use super::{Contender, DISK_MIB, Subject};
use crate::workload::Suite;

/// Where the nodes are found under names of ours.
const NODES: &str = "/run/bench-nodes";
/// Where a file is memory.
const TMPFS: &str = "/dev/shm";
const DAEMON: &str = "qemu-storage-daemon";

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
    }
}

fn contender(name: &'static str, node: &str) -> Contender {
    let device = format!("{NODES}/{node}");
    let needs = format!("test -b {device}");
    Contender { name, needs, up: String::new(), down: String::new(), device }
}

/// The files behind the peers' disks, which go with this.
pub struct Plugged {
    folder: tempfile::TempDir,
}

/// Adds the disks to a machine.
fn plug(machine: MachineBuilder) -> Result<(MachineBuilder, Plugged)> {
    let folder = tempfile::Builder::new().prefix("blockyard-bench-").tempdir_in(TMPFS);
    let folder = folder.context(Kind::Lab, || format!("cannot make a folder in {TMPFS}"))?;
    let qemu = blockyard_lab::Disk::file(image(folder.path(), "qemu.raw")?).serial("bench-qemu");
    let machine = machine.disk(qemu).device(Device::new(format!("blk,size={DISK_MIB}M")));
    let machine = match process::find_program(DAEMON) {
        Some(program) => machine.device(daemon(program, &image(folder.path(), "daemon.raw")?)),
        // Then its contender finds no node, and is reported as missing.
        None => machine,
    };
    Ok((machine, Plugged { folder }))
}

fn image(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let made = std::fs::File::create(&path).and_then(|file| file.set_len(DISK_MIB << 20));
    made.context(Kind::Lab, || format!("cannot make {}", path.display()))?;
    Ok(path)
}

fn daemon(program: PathBuf, image: &Path) -> Device {
    let shape = Shape { kind: "qsd".into(), virtio_id: 2, queues: 1, queue_size: 128, config_size: 60 };
    let node = format!("driver=file,node-name=disk,filename={}", image.display());
    let export = "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path={socket}";
    Device::program(shape, program, ["--blockdev", &node, "--export", export])
}

impl Plugged {
    /// Makes the names of the nodes, in the guest.
    pub fn name_nodes(&self, guest: &Guest) -> Result<()> {
        guest.check(&format!(
            "udevadm settle --timeout=60; mkdir -p {NODES}; ln -s $(readlink -f /dev/disk/by-id/virtio-bench-qemu) {NODES}/qemu"
        ))?;
        let daemon = self.folder.path().join("daemon.raw").exists().then_some("qsd0");
        for name in ["blk0"].into_iter().chain(daemon) {
            let sysfs = guest.device(name)?.sysfs()?;
            guest.check(&format!("ln -s /dev/$(ls {sysfs}/block) {NODES}/{name}"))?;
        }
        Ok(())
    }
}
