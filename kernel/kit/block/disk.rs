// SPDX-License-Identifier: GPL-2.0

//! A disk that is in the system, and how it goes.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        rcu, Arc,
    },
    task::Task,
    types::ForeignOwnable,
};

use super::{major::Registration, operations::Borrowed, Operations};

/// How often a disk is open, and whether it is dying, in one word.
///
/// # Invariants
///
/// The lower bits are the number of openers; once [`Self::DYING`] is set it stays, and the number
/// does not grow any more.
pub(super) struct UseCount(Atomic<i32>);

impl UseCount {
    const DYING: i32 = 1 << 30;

    pub(super) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts an opener. `None` if the disk is dying.
    pub(super) fn opened(&self) -> Option<u32> {
        self.update(|count| (count < Self::DYING - 1).then_some(count + 1))
            .map(|before| before as u32 + 1)
    }

    /// Counts an opener off; returns how many are left.
    pub(super) fn closed(&self) -> u32 {
        // INVARIANT: Called once for each `opened()`, so the mark is not borrowed from.
        let before = self.0.fetch_sub(1, Full);
        (before & !Self::DYING) as u32 - 1
    }

    /// How many openers there are.
    pub(super) fn openers(&self) -> u32 {
        (self.0.load(Relaxed) & !Self::DYING) as u32
    }

    /// Marks the disk if nobody has it open.
    fn die_if_unused(&self) -> bool {
        self.0.cmpxchg(0, Self::DYING, Full).is_ok()
    }

    /// Marks the disk; returns how many have it open.
    fn die(&self) -> u32 {
        let before = self.update(|count| Some(count | Self::DYING));
        before.map_or(0, |count| (count & !Self::DYING) as u32)
    }

    /// Changes the word as `f` says, and returns what it was; `None` if `f` does not want to.
    fn update(&self, f: impl Fn(i32) -> Option<i32>) -> Option<i32> {
        let mut count = self.0.load(Relaxed);
        loop {
            match self.0.cmpxchg(count, f(count)?, Full) {
                Ok(before) => return Some(before),
                Err(now) => count = now,
            }
        }
    }
}

/// The task that is just dropping a [`Disk`], as an address to compare with; 0 before and after.
///
/// Shared with the `Disk`, so that it can be taken back when [`Inner`] may be gone already: the
/// same task may have the disk open and free it later, when nothing keeps the module.
struct Remover(Atomic<usize>);

impl Remover {
    fn here() -> usize {
        Task::current_raw() as usize
    }

    fn begin(&self) {
        self.0.store(Self::here(), Relaxed);
    }

    fn end(&self) {
        self.0.store(0, Relaxed);
    }

    /// Whether the current task is the one. Only its own stores matter, so no order is needed.
    fn is_here(&self) -> bool {
        self.0.load(Relaxed) == Self::here()
    }
}

/// The kit's part of a disk: what `private_data` points to, from before the disk is added until it
/// is freed.
///
/// # Invariants
///
/// `data` came from `T::Data::into_foreign()` and is taken back only in [`Self::free`].
pub(super) struct Inner<T: Operations> {
    data: *mut c_void,
    use_count: UseCount,
    remover: Arc<Remover>,
    registration: Arc<Registration>,
    _driver: PhantomData<T>,
}

impl<T: Operations> Inner<T> {
    /// Boxes it, as a pointer for `private_data`.
    pub(super) fn new(data: T::Data, registration: Arc<Registration>) -> Result<NonNull<Self>> {
        let remover = Arc::new(Remover(Atomic::new(0)), GFP_KERNEL);
        let inner = KBox::<Self>::new_uninit(GFP_KERNEL);
        let (Ok(remover), Ok(inner)) = (remover, inner) else {
            registration.disk_freed(false);
            return Err(ENOMEM);
        };
        let inner = KBox::write(
            inner,
            Self {
                // INVARIANT: From `into_foreign()`.
                data: data.into_foreign(),
                use_count: UseCount::new(),
                remover,
                registration,
                _driver: PhantomData,
            },
        );
        // SAFETY: A box is never null.
        Ok(unsafe { NonNull::new_unchecked(KBox::into_raw(inner)) })
    }

    /// The driver's data.
    #[inline(always)]
    pub(super) fn data(&self) -> Borrowed<'_, T> {
        // SAFETY: By the type invariant. `&self` keeps `free()` away.
        unsafe { T::Data::borrow(self.data) }
    }

    pub(super) fn use_count(&self) -> &UseCount {
        &self.use_count
    }

    /// Drops the driver's data, and counts the disk off.
    ///
    /// # Safety
    ///
    /// `inner` must come from [`Self::new`] and not be used any more.
    pub(super) unsafe fn free(inner: *mut Self) {
        // SAFETY: By the function's contract, from `KBox::into_raw()`.
        let inner = KBox::into_inner(unsafe { KBox::from_raw(inner) });
        // SAFETY: By the type invariant; it is taken back once, here.
        drop(unsafe { T::Data::from_foreign(inner.data) });
        inner.registration.disk_freed(!inner.remover.is_here());
    }
}

/// A disk that is in the system until this is dropped.
///
/// # Invariants
///
/// `disk` was added, and the reference that allocating it gave is ours. `inner` is its
/// `private_data`, and valid as long as we hold that reference.
pub struct Disk<T: Operations> {
    disk: NonNull<bindings::gendisk>,
    inner: NonNull<Inner<T>>,
}

// SAFETY: A disk may be removed by any task; the driver's data is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Disk<T> {}
// SAFETY: `&Disk` only reads an atomic.
unsafe impl<T: Operations> Sync for Disk<T> {}

impl<T: Operations> Disk<T> {
    /// # Safety
    ///
    /// As the type's invariants say.
    pub(super) unsafe fn new(disk: NonNull<bindings::gendisk>, inner: NonNull<Inner<T>>) -> Self {
        // INVARIANT: By the function's contract.
        Self { disk, inner }
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: By the type invariant.
        unsafe { self.inner.as_ref() }
    }

    /// How often the disk and its partitions are open now.
    pub fn openers(&self) -> u32 {
        self.inner().use_count.openers()
    }

    /// Changes the capacity, in sectors, and tells user space.
    ///
    /// I/O that is under way may be beyond the new end.
    #[doc(alias = "set_capacity_and_notify")]
    pub fn set_capacity(&self, sectors: u64) {
        // SAFETY: By the type invariant the disk was added; in process context.
        unsafe { bindings::set_capacity_and_notify(self.disk.as_ptr(), sectors) };
    }

    /// Sees to it that nobody can open the disk any more, unless somebody has it open: then says
    /// `false`.
    ///
    /// After that, dropping it disturbs nobody. Programs that look at new disks (udev) open them
    /// for a moment; it may help to try again.
    #[must_use]
    pub fn retire(&self) -> bool {
        self.inner().use_count.die_if_unused()
    }
}

impl<T: Operations> Disk<T> {
    /// Has file systems and the page cache write what is dirty, and file systems shut down.
    ///
    /// That is what `del_gendisk()` does by itself, when it is too late: it leaves no moment
    /// between writing and the disk being empty in which reads could be told of an error
    /// ([`Self::fail_all`]).
    ///
    /// # Safety
    ///
    /// `disk` must be added, and not removed.
    unsafe fn write_back(disk: *mut bindings::gendisk) {
        /// Any entry (`XA_PRESENT`, whose cast bindgen cannot translate).
        const PRESENT: bindings::xa_mark_t = 8;
        let mut index = 0;
        let mut reading = rcu::read_lock();
        // SAFETY: By the function's contract; a part that is found stays under the RCU read lock,
        // and for as long as there is a reference to it, which is given up here.
        unsafe {
            let parts = &raw mut (*disk).part_tbl;
            let mut part = bindings::xa_find(parts, &mut index, c_ulong::MAX, PRESENT);
            while !part.is_null() {
                let device = &raw mut (*part.cast::<bindings::block_device>()).bd_device;
                if !bindings::kobject_get_unless_zero(&raw mut (*device).kobj).is_null() {
                    drop(reading);
                    bindings::bdev_mark_dead(part.cast(), false);
                    bindings::put_device(device);
                    reading = rcu::read_lock();
                }
                part = bindings::xa_find_after(parts, &mut index, c_ulong::MAX, PRESENT);
            }
        }
        drop(reading);
    }

    /// Makes all I/O fail from now on, and tells file systems. Nobody who has it open can keep us.
    ///
    /// The block layer makes a dead disk empty, so that a read is at its end, which programs take
    /// for success. So the queue is frozen first: who reads on waits before it, having seen the
    /// disk's size, and fails with `EIO` once the disk is dead. It stays frozen: `del_gendisk()`
    /// leaves it so, too. And the disk becomes read-only: nobody shall dirty pages that nobody will
    /// write.
    ///
    /// # Safety
    ///
    /// `disk` must be added, and not removed.
    unsafe fn fail_all(disk: *mut bindings::gendisk) {
        // SAFETY: By the function's contract; in process context. Between the two calls nothing is
        // allocated, so nothing waits for this queue while it is frozen and not dead.
        unsafe {
            let queue = (*disk).queue;
            // Without an owner, as nobody will unfreeze it.
            bindings::blk_freeze_queue_start_non_owner(queue);
            bindings::blk_mq_freeze_queue_wait(queue);
            bindings::blk_mark_disk_dead(disk);
            bindings::set_disk_ro(disk, true);
        }
    }
}

impl<T: Operations> Drop for Disk<T> {
    #[doc(alias = "del_gendisk")]
    fn drop(&mut self) {
        let openers = self.inner().use_count.die();
        if T::HAS_DYING {
            T::dying(self.inner().data());
        }
        let remover = self.inner().remover.clone();
        let disk = self.disk.as_ptr();
        // SAFETY: By the type invariant the disk is valid, and a disk always has its first part.
        let sectors = unsafe { (*(*disk).part0).bd_nr_sectors };
        if openers > 0 {
            // SAFETY: By the type invariant the disk was added, and not removed yet.
            unsafe {
                if T::KEEPS_DATA {
                    Self::write_back(disk);
                }
                Self::fail_all(disk);
            }
        }
        // SAFETY: As above, in process context. After this no `submit_bio` is running, and none
        // will.
        unsafe { bindings::del_gendisk(disk) };
        if openers > 0 {
            // Its size back, as else a read that begins now is at the disk's end, and not an error.
            // SAFETY: The disk is valid: the reference is still ours.
            unsafe { bindings::set_capacity(disk, sectors) };
        }
        remover.begin();
        // SAFETY: The reference is ours, and not used any more.
        unsafe { bindings::put_disk(disk) };
        remover.end();
    }
}
