// SPDX-License-Identifier: GPL-2.0

//! A call at a later time, on a work queue, that is over before its target goes.
//!
//! The `kernel` crate's `DelayedWork` keeps its target alive by a reference that the pending work
//! owns, and cannot be cancelled. For a watchdog that is the wrong way round: it would keep a
//! removed disk alive until it expires, and the module's code would have to outlive it. Here the
//! target owns the work: dropping it cancels the call, or waits until it has returned.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::{marker::PhantomPinned, ops::Deref};

use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    time::{msecs_to_jiffies, Msecs},
    types::Opaque,
};

/// What is called.
///
/// `'static`, as what is scheduled may be leaked, and is then called for as long as it is there.
pub trait Expired: Send + Sync + 'static {
    /// Called in process context, by one work item at a time.
    ///
    /// It must not drop the last owner of `self`, which would wait for this very call.
    fn expired(this: &Delayed<Self>)
    where
        Self: Sized;
}

/// A target with a call that can be scheduled; it dereferences to the target.
///
/// # Invariants
///
/// `work` is an initialised delayed work whose function is `Delayed::<T>::run`, and is queued only
/// while `self` is alive.
#[pin_data(PinnedDrop)]
pub struct Delayed<T: Expired> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    #[pin]
    target: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A delayed work may be queued and cancelled from any context; the rest is the target.
unsafe impl<T: Expired> Send for Delayed<T> {}
// SAFETY: As above; the work queue's functions lock.
unsafe impl<T: Expired> Sync for Delayed<T> {}

impl<T: Expired> Delayed<T> {
    /// Initialises the target, with no call scheduled.
    pub fn new<E>(
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        timer_key: Pin<&'static LockClassKey>,
        target: impl PinInit<T, E>,
    ) -> impl PinInit<Self, E>
    where
        E: From<core::convert::Infallible>,
    {
        pin_init::pin_init!(Self {
            // INVARIANT: Initialised as `INIT_DELAYED_WORK` does, and not queued.
            work <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, pinned, and the name and the lock classes are
                // static.
                unsafe { Self::init_work(slot, name, key, timer_key) }
            }),
            target <- target,
            _pin: PhantomPinned,
        }? E)
    }

    /// # Safety
    ///
    /// `slot` must be valid for writes and stay where it is.
    unsafe fn init_work(
        slot: *mut bindings::delayed_work,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        timer_key: Pin<&'static LockClassKey>,
    ) {
        // SAFETY: The caller promises a valid slot; both parts of it are initialised here, by the
        // kernel's own functions.
        unsafe {
            bindings::init_work_with_key(
                &raw mut (*slot).work,
                Some(Self::run),
                false,
                name.as_char_ptr(),
                key.as_ptr(),
            );
            bindings::timer_init_key(
                &raw mut (*slot).timer,
                Some(bindings::delayed_work_timer_fn),
                bindings::TIMER_IRQSAFE,
                name.as_char_ptr(),
                timer_key.as_ptr(),
            );
        }
    }

    /// Schedules the call in `delay` milliseconds, unless one is scheduled already. May be called
    /// with locks held.
    #[doc(alias = "schedule_delayed_work")]
    pub fn schedule(&self, delay: Msecs) {
        // SAFETY: By the type invariant the work is initialised; `drop()` cancels it before it
        // goes. The system work queue is there from boot to the end.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_dfl_wq,
                self.work.get(),
                msecs_to_jiffies(delay),
            );
        }
    }

    /// Schedules the call in `delay` milliseconds, whether one was scheduled or not. May be called
    /// with locks held.
    #[doc(alias = "mod_delayed_work")]
    pub fn reschedule(&self, delay: Msecs) {
        // SAFETY: As in `schedule()`.
        unsafe {
            bindings::mod_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_dfl_wq,
                self.work.get(),
                msecs_to_jiffies(delay),
            );
        }
    }

    /// Takes a scheduled call back, or waits until it has returned. Not to be called in it.
    ///
    /// Who wants none to come after this sees to it that nobody schedules one.
    #[doc(alias = "cancel_delayed_work_sync")]
    pub fn cancel(&self) {
        // SAFETY: By the type invariant the work is initialised; in process context.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }

    /// # Safety
    ///
    /// `work` must be the work of a `Delayed<T>`, called by a work queue.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        let offset =
            core::mem::offset_of!(Self, work) + core::mem::offset_of!(bindings::delayed_work, work);
        // SAFETY: By the function's contract `work` is at this offset in a `Delayed<T>`; that is
        // alive, since its `drop()` waits for this function.
        let this = unsafe { &*work.byte_sub(offset).cast::<Self>() };
        T::expired(this);
    }
}

impl<T: Expired> Deref for Delayed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.target
    }
}

#[pinned_drop]
impl<T: Expired> PinnedDrop for Delayed<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The work is initialised. After this neither the timer nor the function runs, and
        // as nobody has a reference any more, nobody queues it again: the fields may go.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
