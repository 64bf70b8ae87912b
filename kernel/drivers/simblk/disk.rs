// SPDX-License-Identifier: GPL-2.0

//! One disk: its memory, and what happens to a bio.

use blockyard_abi::simblk as abi;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow,
    },
};
use kit::{
    block::{Bio, Counters, Limits, Op, Operations, Status},
    delayed::{Delayed, Expired},
    ioctl::Call,
    mem::{PageStore, StoreError, Wait},
};

use crate::{debug, mapper::Mapper};

/// Sectors of the largest discard or write of zeroes: 1 GiB, so that no single one keeps a CPU for
/// long.
const MAX_ZERO_SECTORS: u32 = ((1u64 << 30) / abi::SECTOR_SIZE) as u32;

/// What a disk is like.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes of a logical block.
    pub(crate) block_size: u32,
    /// Most bytes of memory for its data; 0: no cap.
    pub(crate) memory_cap: u64,
}

impl Geometry {
    /// Whether a disk can have logical blocks of this size.
    pub(crate) fn is_block_size(size: u32) -> bool {
        (abi::MIN_BLOCK_SIZE..=abi::MAX_BLOCK_SIZE).contains(&size) && Limits::is_block_size(size)
    }

    /// Fails with `EINVAL` if no disk can be like that.
    pub(crate) fn check(&self) -> Result {
        let sizes = abi::MIN_SIZE..=abi::MAX_SIZE;
        let whole = self.size.is_multiple_of(abi::PAGE_SIZE);
        if whole && sizes.contains(&self.size) && Self::is_block_size(self.block_size) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Pages, logical or physical: there are as many of each.
    pub(crate) fn pages(&self) -> u64 {
        self.size / abi::PAGE_SIZE
    }

    fn cap_pages(&self) -> Option<u64> {
        (self.memory_cap != 0).then_some(self.memory_cap / abi::PAGE_SIZE)
    }

    /// What the block layer is told.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            logical_block_size: self.block_size,
            physical_block_size: abi::PAGE_SIZE as u32,
            max_sectors: abi::MAX_REQUEST_SECTORS,
            max_discard_sectors: MAX_ZERO_SECTORS,
            discard_granularity: abi::PAGE_SIZE as u32,
            max_write_zeroes_sectors: MAX_ZERO_SECTORS,
            // Nothing is cached, but a disk under test should get its flushes.
            write_cache: true,
            nowait: true,
            synchronous: true,
            // The kernel's own RAM disk does without; our counters are in debugfs.
            io_stat: false,
            dma_alignment: 3,
            ..Limits::default()
        }
    }
}

/// A disk's memory and state. It lives until the disk is gone and its last file closed.
#[pin_data]
pub(crate) struct SimDisk {
    pub(crate) index: u32,
    pub(crate) geometry: Geometry,
    pub(crate) store: PageStore,
    pub(crate) counters: Counters,
    openers: Atomic<u32>,
    #[pin]
    pub(crate) mapper: Mapper,
}

/// A disk, with the watchdog over its mapping program.
pub(crate) type DiskRef = Arc<Delayed<SimDisk>>;

impl SimDisk {
    /// A disk that is not in the system yet.
    pub(crate) fn new(index: u32, geometry: Geometry) -> Result<DiskRef> {
        geometry.check()?;
        let store = PageStore::new(geometry.size, geometry.cap_pages())?;
        let disk = try_pin_init!(Self {
            index,
            geometry,
            store,
            counters: Counters::default(),
            openers: Atomic::new(0),
            mapper <- Mapper::new(),
        });
        let class = (static_lock_class!(), static_lock_class!());
        let disk = Delayed::new(c"simblk_watchdog", class.0, class.1, disk);
        Arc::pin_init(disk, GFP_KERNEL)
    }

    /// Does what a bio asks for, under the identity mapping.
    #[inline(always)]
    pub(crate) fn serve(&self, bio: &Bio, op: Op) -> Result<(), Status> {
        let done = match op {
            Op::Read => self.read(bio),
            Op::Write => self.write(bio),
            Op::Flush => Ok(()),
            Op::Discard => self.zero(bio, true),
            Op::WriteZeroes => self.zero(bio, !bio.keep_allocated()),
            Op::Other(_) => return Err(Status::NotSupported),
        };
        done.map_err(|error| status(error, bio))
    }

    #[inline(always)]
    fn read(&self, bio: &Bio) -> Result<(), StoreError> {
        self.store.read(bio.position(), bio)
    }

    #[inline(always)]
    fn write(&self, bio: &Bio) -> Result<(), StoreError> {
        let wait = if bio.nowait() {
            Wait::Forbidden
        } else {
            Wait::Allowed
        };
        self.store.write(bio.position(), bio, wait)
    }

    #[inline(never)]
    fn zero(&self, bio: &Bio, release: bool) -> Result<(), StoreError> {
        self.store.zero(bio.position(), bio.size().into(), release)
    }

    /// Completes a bio, and counts if it failed.
    #[inline(always)]
    pub(crate) fn complete(&self, bio: Bio, result: Result<(), Status>) {
        if result.is_err() {
            self.counters.failed();
        }
        bio.complete(result);
    }

    /// What `INFO` tells.
    pub(crate) fn info(&self) -> abi::Info {
        let totals = self.counters.totals();
        let waiting = self.mapper.state();
        abi::Info {
            index: self.index,
            flags: if waiting.registered {
                abi::INFO_MAPPER
            } else {
                0
            },
            size: self.geometry.size,
            memory_cap: self.geometry.memory_cap,
            pages_held: self.store.pages_held(),
            block_size: self.geometry.block_size,
            open_count: self.openers.load(Relaxed),
            timeout_ms: waiting.timeout_ms,
            held: waiting.held,
            reads: totals.reads,
            writes: totals.writes,
            flushes: totals.flushes,
            discards: totals.discards,
            zeroes: totals.zeroes,
            bytes_read: totals.bytes_read,
            bytes_written: totals.bytes_written,
            errors: totals.errors,
        }
    }
}

/// The status for an error of the store: who must not wait is told to come again rather than that
/// memory is short.
pub(crate) fn status(error: StoreError, bio: &Bio) -> Status {
    match error {
        StoreError::NoMemory if bio.nowait() => Status::Again,
        error => error.into(),
    }
}

impl Expired for SimDisk {
    fn expired(this: &Delayed<Self>) {
        Mapper::watch(this);
    }
}

/// The driver, as the block layer sees it.
pub(crate) struct Driver;

#[vtable]
impl Operations for Driver {
    type Data = DiskRef;
    const COPIES: bool = true;

    #[inline]
    fn submit_bio(disk: ArcBorrow<'_, Delayed<SimDisk>>, bio: Bio) {
        let op = bio.op();
        disk.counters.submitted(&bio, op);
        if debug::LOG_IO.get() {
            debug::log_bio(disk.index, &bio, op);
        }
        if disk.mapper.wants_attention() {
            return Mapper::submit(&disk, bio, op);
        }
        let result = disk.serve(&bio, op);
        disk.complete(bio, result);
    }

    fn open(disk: ArcBorrow<'_, Delayed<SimDisk>>, openers: u32) -> Result {
        disk.openers.store(openers, Relaxed);
        pr_info!(
            "{}{}: engaged, open {openers} time(s)\n",
            abi::NAME,
            disk.index
        );
        Ok(())
    }

    fn release(disk: ArcBorrow<'_, Delayed<SimDisk>>, openers: u32) {
        disk.openers.store(openers, Relaxed);
        pr_info!(
            "{}{}: released, open {openers} time(s)\n",
            abi::NAME,
            disk.index
        );
    }

    fn ioctl(disk: ArcBorrow<'_, Delayed<SimDisk>>, call: Call) -> Result<isize> {
        if debug::LOG_IO.get() {
            debug::log_ioctl(disk.index, call.number());
        }
        call.on(abi::DISK_INFO, |()| Ok(disk.info())).answer()
    }

    fn dying(disk: ArcBorrow<'_, Delayed<SimDisk>>) {
        Mapper::die(&disk);
    }
}
