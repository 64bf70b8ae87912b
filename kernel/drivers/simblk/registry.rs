// SPDX-License-Identifier: GPL-2.0

//! Which disks there are.

use blockyard_abi::simblk as abi;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};
use kit::{
    block::{Disk, DiskBuilder, Major},
    debugfs::Dir,
};

use crate::{
    debug,
    disk::{DiskRef, Driver, Geometry, SimDisk},
};

/// A disk that is in the system. The order of the fields is the order in which they go.
struct Entry {
    /// First: who reads a counter finishes before the disk goes.
    _counters: debug::Counters,
    block: Disk<Driver>,
    disk: DiskRef,
}

/// A place for a disk. Its number is the disk's index.
enum Slot {
    Free,
    /// A disk is being made or removed: its name and minors are not free.
    Changing,
    Present(Entry),
}

/// All disks, in as many places as there may be disks. The order of the fields is the order in
/// which they go.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    slots: Mutex<KVec<Slot>>,
    debug: Arc<Dir>,
    /// Last: dropping it waits for the disks.
    major: Major,
}

impl Registry {
    /// A registry without disks.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let mut slots = KVec::with_capacity(abi::MAX_DISKS as usize, GFP_KERNEL)?;
        for _ in 0..abi::MAX_DISKS {
            slots.push(Slot::Free, GFP_KERNEL)?;
        }
        let debug = Dir::new(c"simblk", None)?;
        let major = Major::register(c"simblk")?;
        Arc::pin_init(
            pin_init!(Self {
                slots <- new_mutex!(slots),
                debug,
                major,
            }),
            GFP_KERNEL,
        )
    }

    /// The major number of all disks.
    pub(crate) fn major(&self) -> u32 {
        self.major.number()
    }

    /// The folder in debugfs.
    pub(crate) fn debug_dir(&self) -> &Arc<Dir> {
        &self.debug
    }

    /// Makes a disk with the lowest index that is free.
    ///
    /// The lock is not held meanwhile: adding a disk reads its partition table, and so may wait for
    /// anything.
    pub(crate) fn create(&self, geometry: Geometry) -> Result<u32> {
        geometry.check()?;
        let index = self.claim()?;
        let made = self.build(index, geometry);
        let result = made.as_ref().map(|_| index).map_err(|error| *error);
        let slot = made.map_or(Slot::Free, Slot::Present);
        self.slots.lock()[index as usize] = slot;
        result
    }

    fn claim(&self) -> Result<u32> {
        let mut slots = self.slots.lock();
        let free = slots.iter().position(|slot| matches!(slot, Slot::Free));
        let index = free.ok_or(ENOSPC)?;
        slots[index] = Slot::Changing;
        Ok(index as u32)
    }

    fn build(&self, index: u32, geometry: Geometry) -> Result<Entry> {
        let disk = SimDisk::new(index, geometry)?;
        let counters = debug::counters(&self.debug, &disk)?;
        let first_minor = index * abi::MINORS_PER_DISK;
        let sectors = geometry.size / abi::SECTOR_SIZE;
        let block = DiskBuilder::new(sectors, geometry.limits())
            .minors(first_minor, abi::MINORS_PER_DISK)
            .build(fmt!("{}{index}", abi::NAME), &self.major, disk.clone())
            .inspect_err(|error| pr_err!("cannot add disk {index}: {error:?}\n"))?;
        Ok(Entry {
            _counters: counters,
            block,
            disk,
        })
    }

    /// Removes a disk; without `force` only if nobody has it open, else `EBUSY`.
    ///
    /// The lock is not held while it goes: that waits for its I/O.
    pub(crate) fn remove(&self, index: u32, force: bool) -> Result {
        let entry = self.take(index, force)?;
        let openers = entry.block.openers();
        pr_info!("{}{index}: removing, open {openers} time(s)\n", abi::NAME);
        drop(entry);
        self.slots.lock()[index as usize] = Slot::Free;
        Ok(())
    }

    /// Takes a disk that nobody can open any more out of its place, which stays claimed.
    fn take(&self, index: u32, force: bool) -> Result<Entry> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(index as usize).ok_or(ENODEV)?;
        let Slot::Present(entry) = slot else {
            return Err(ENODEV);
        };
        if !entry.block.retire() && !force {
            return Err(EBUSY);
        }
        match core::mem::replace(slot, Slot::Changing) {
            Slot::Present(entry) => Ok(entry),
            _ => Err(ENODEV),
        }
    }

    /// The disk with this index.
    pub(crate) fn get(&self, index: u32) -> Result<DiskRef> {
        let slots = self.slots.lock();
        match slots.get(index as usize) {
            Some(Slot::Present(entry)) => Ok(entry.disk.clone()),
            _ => Err(ENODEV),
        }
    }

    /// The first disk with this index or a higher one.
    pub(crate) fn at_or_after(&self, index: u32) -> Option<DiskRef> {
        let slots = self.slots.lock();
        slots
            .iter()
            .skip(index as usize)
            .find_map(|slot| match slot {
                Slot::Present(entry) => Some(entry.disk.clone()),
                _ => None,
            })
    }
}
