// SPDX-License-Identifier: GPL-2.0

//! A value that is read under the RCU read lock and replaced as a whole, and whose old versions are
//! dropped by a work item.
//!
//! Replacing, or dropping the cell, costs no more than an exchange of pointers, however long it
//! takes to drop the value. That happens a grace period later, on a work queue, the [`Reaper`]'s;
//! dropping the reaper waits for all of it, so that no work item outlives the module.
//!
//! C headers: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h),
//! [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*,
    static_lock_class,
    str::CStrExt,
    sync::{
        atomic::{Atomic, Full},
        rcu, Arc,
    },
    types::Opaque,
};

/// Waits until all RCU readers of now have finished.
///
/// (The `kernel` crate has this from 7.3 on.)
#[doc(alias = "synchronize_rcu")]
pub(crate) fn wait_for_readers() {
    // SAFETY: It may be called wherever one may sleep, which RCU itself checks.
    unsafe { bindings::synchronize_rcu() };
}

/// A work queue on which values are dropped.
///
/// Dropping the last reference waits until all are dropped that were given up before. It must be in
/// process context, and not while a value is dropped on this very queue.
///
/// # Invariants
///
/// `queue` is a work queue that this value alone has.
pub struct Reaper {
    queue: NonNull<bindings::workqueue_struct>,
}

// SAFETY: A work queue may be used and destroyed by any task.
unsafe impl Send for Reaper {}
// SAFETY: Work may be queued by any number of contexts at a time.
unsafe impl Sync for Reaper {}

impl Reaper {
    /// Makes a work queue. `name` is for the list of work queues.
    #[doc(alias = "alloc_workqueue")]
    pub fn new(name: &CStr) -> Result<Arc<Self>> {
        // Freeing memory is what a system that is short of it must get done.
        let flags = bindings::wq_flags_WQ_UNBOUND | bindings::wq_flags_WQ_MEM_RECLAIM;
        // SAFETY: The format takes one string, and is static, as both are only read.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(c"%s".as_char_ptr(), flags, 0, name.as_char_ptr())
        };
        // INVARIANT: Just made.
        let queue = NonNull::new(queue).ok_or(ENOMEM)?;
        Ok(Arc::new(Self { queue }, GFP_KERNEL)?)
    }
}

impl Drop for Reaper {
    #[doc(alias = "destroy_workqueue")]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This lets all work finish first.
        unsafe { bindings::destroy_workqueue(self.queue.as_ptr()) };
    }
}

/// A version of the value.
#[pin_data]
struct Version<T> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    value: T,
}

impl<T: Send + Sync + 'static> Version<T> {
    /// Allocates one, which is to be given to [`Self::give_up`].
    fn new(value: T) -> Result<NonNull<Self>> {
        let class = static_lock_class!();
        let version = KBox::pin_init(
            pin_init!(Self {
                work <- Opaque::ffi_init(|work| {
                    // SAFETY: The place is valid for writes and pinned; name and class are static.
                    unsafe {
                        bindings::init_work_with_key(
                            work,
                            Some(Self::reap),
                            false,
                            c"rcu_cell".as_char_ptr(),
                            class.as_ptr(),
                        )
                    }
                }),
                value,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: It stays where it is until `reap()`.
        let version = KBox::into_raw(unsafe { Pin::into_inner_unchecked(version) });
        // SAFETY: A box is never null.
        Ok(unsafe { NonNull::new_unchecked(version) })
    }

    /// Lets the version be dropped by the reaper, when all RCU readers of now have finished.
    ///
    /// # Safety
    ///
    /// `this` must come from [`Self::new`], its ownership pass to this function, and those that
    /// hold no RCU read lock now not find it any more.
    unsafe fn give_up(this: NonNull<Self>, reaper: &Reaper) {
        // SAFETY: By the function's contract the version is there, and its work was initialised,
        // and never queued. The queue is there as long as the reaper, whose `drop()` waits for the
        // work.
        unsafe {
            bindings::queue_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                reaper.queue.as_ptr(),
                Opaque::cast_into(&raw const (*this.as_ptr()).work),
            );
        }
    }

    /// # Safety
    ///
    /// `work` must be that of a version, called by a work queue, after [`Self::give_up`].
    unsafe extern "C" fn reap(work: *mut bindings::work_struct) {
        wait_for_readers();
        let offset = core::mem::offset_of!(Self, work);
        // SAFETY: By the function's contract, from `KBox::into_raw()` in `new()`, and ours. The
        // readers that may have found it have finished.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(work.byte_sub(offset).cast::<Self>())) });
    }
}

/// A value that is read under the RCU read lock, and replaced as a whole.
///
/// # Invariants
///
/// `current` is from [`Version::new`]. Who takes it out owns it, and gives it to
/// [`Version::give_up`].
pub struct RcuCell<T: Send + Sync + 'static> {
    current: Atomic<*mut Version<T>>,
    reaper: Arc<Reaper>,
}

// SAFETY: The cell owns a `T`, which is dropped by another task.
unsafe impl<T: Send + Sync + 'static> Send for RcuCell<T> {}
// SAFETY: Many tasks may have a `&T` at a time, and any may put another value in.
unsafe impl<T: Send + Sync + 'static> Sync for RcuCell<T> {}

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// A cell with a value, the old versions of which go to the reaper.
    pub fn new(value: T, reaper: Arc<Reaper>) -> Result<Self> {
        let version = Version::new(value)?;
        // INVARIANT: Just made.
        Ok(Self {
            current: Atomic::new(version.as_ptr()),
            reaper,
        })
    }

    /// The value of now, which may be read until the RCU read lock is dropped.
    #[inline(always)]
    #[doc(alias = "rcu_dereference")]
    pub fn get<'a>(&'a self, _guard: &'a rcu::Guard) -> &'a T {
        // SAFETY: The pointer to the cell is valid and aligned, as it comes from a reference; a
        // volatile read of a pointer does not tear. The version that it names was complete when it
        // was published, and is not dropped before the RCU read lock is, which is held.
        unsafe { &(*self.current.as_ptr().read_volatile()).value }
    }

    /// Puts another value in. The old one is dropped later.
    #[doc(alias = "rcu_replace_pointer")]
    pub fn replace(&self, value: T) -> Result {
        let new = Version::new(value)?;
        // INVARIANT: Just made. The exchange is ordered: who finds it, finds it complete.
        let old = self.current.xchg(new.as_ptr(), Full);
        // SAFETY: By the type invariant, and the exchange gives it to exactly one caller. It is
        // never null.
        unsafe { Version::give_up(NonNull::new_unchecked(old), &self.reaper) };
        Ok(())
    }
}

impl<T: Send + Sync + 'static> Drop for RcuCell<T> {
    fn drop(&mut self) {
        let last = self.current.load(kernel::sync::atomic::Relaxed);
        // SAFETY: By the type invariant, and nobody else has the cell any more.
        unsafe { Version::give_up(NonNull::new_unchecked(last), &self.reaper) };
    }
}
