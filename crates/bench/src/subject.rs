// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be measured: each thing of ours with the peers that do the same.

mod backend;
mod disk;
mod mapper;

use blockyard_lab::{Guest, MachineBuilder, Result};

pub use backend::Plugged;

use crate::workload::Suite;

/// MiB of each disk, unless something else was asked for: large enough that filling it takes a while, small enough that a
/// guest holds one for each contender.
pub const DISK_MIB: u64 = 256;

/// Something of ours, and who it is measured against.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name, which is its driver's.
    pub name: &'static str,
    /// What is measured of it.
    pub suite: Suite,
    /// Lines of shell that set up what all contenders stand on.
    pub up: String,
    /// Lines of shell that take that down.
    pub down: String,
    /// Ours.
    pub ours: Contender,
    /// The others. The first one is what a short run compares with.
    pub peers: Vec<Contender>,
    /// What must be plugged into the machine for it, if anything: then it has a guest of its own.
    pub plug: Option<Plug>,
    /// MiB of its disks that are measured.
    pub mib: u64,
}

/// Adds what a subject needs to a machine; what it gives must be kept for as long as the guest.
pub type Plug = fn(MachineBuilder) -> Result<(MachineBuilder, Plugged)>;

/// A disk that is measured. Its scripts are lines of shell, each of which must exit with 0.
#[derive(Debug, Clone)]
pub struct Contender {
    /// What people call it.
    pub name: &'static str,
    /// A test for whether the guest's kernel can have it.
    pub needs: String,
    /// Makes it.
    pub up: String,
    /// Takes it away.
    pub down: String,
    /// Its device node.
    pub device: String,
    /// Puts a program that serves it into the guest, if one does that no guest has.
    pub bring: Option<fn(&Guest) -> Result<()>>,
}

impl Contender {
    /// Makes it anew, with nothing written to it, on one line.
    pub fn again(&self) -> String {
        let lines = self.down.lines().chain(self.up.lines()).chain(["udevadm settle --timeout=60"]);
        lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" && ")
    }
}

/// All that can be measured; those disks in memory that may be of any size have so many MiB.
pub fn all(mib: u64) -> Vec<Subject> {
    vec![
        disk::simblk(mib),
        disk::simblk_path(mib),
        mapper::hello(),
        mapper::stripe2(),
        mapper::snap(),
        backend::vhost_user_blk(),
        backend::virtio_simblk(),
        backend::virtio_hello(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let subjects = all(DISK_MIB);
        let mut names: Vec<_> = subjects.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), subjects.len());
        for subject in subjects {
            let mut peers: Vec<_> = subject.peers.iter().map(|p| p.name).collect();
            peers.sort_unstable();
            peers.dedup();
            assert_eq!(peers.len(), subject.peers.len(), "{}", subject.name);
        }
    }

    #[test]
    fn making_it_anew_is_one_line_for_fio() {
        for subject in all(DISK_MIB) {
            for contender in subject.peers.iter().chain([&subject.ours]) {
                assert!(!contender.again().contains('\n'), "{}", contender.name);
            }
        }
    }
}
