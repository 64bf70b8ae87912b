// SPDX-License-Identifier: GPL-2.0

//! A call that can be asked for in any context, and comes in one where more may be done.
//!
//! A probe or an NMI handler cannot wake a task: it may have interrupted the very code that holds
//! the scheduler's locks. It can ask for an interrupt on its own CPU, which comes as soon as
//! interrupts are on again, and there waking is allowed.
//!
//! C header: [`include/linux/irq_work.h`](srctree/include/linux/irq_work.h)

use core::{marker::PhantomPinned, mem::offset_of, ops::Deref};

use kernel::{bindings, prelude::*, types::Opaque};

/// What is called.
///
/// `'static`, as what is queued may be leaked, and is then called for as long as it is there.
pub trait Interrupted: Send + Sync + 'static {
    /// Called in an interrupt, or in a thread on a kernel with `CONFIG_PREEMPT_RT`. Must not sleep.
    fn interrupted(&self);
}

/// A target with a call that can be asked for; it dereferences to the target.
///
/// # Invariants
///
/// `work` is an initialised irq work with the function `IrqWork::<T>::run`, and is queued only
/// while `self` is alive.
#[pin_data(PinnedDrop)]
pub struct IrqWork<T: Interrupted> {
    #[pin]
    work: Opaque<bindings::irq_work>,
    #[pin]
    target: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: An irq work may be queued from any context and CPU; the rest is the target.
unsafe impl<T: Interrupted> Send for IrqWork<T> {}
// SAFETY: As above; queueing is atomic.
unsafe impl<T: Interrupted> Sync for IrqWork<T> {}

impl<T: Interrupted> IrqWork<T> {
    /// Initialises the target, with no call asked for.
    #[doc(alias = "init_irq_work")]
    pub fn new<E>(target: impl PinInit<T, E>) -> impl PinInit<Self, E>
    where
        E: From<core::convert::Infallible>,
    {
        pin_init::pin_init!(Self {
            // INVARIANT: All zeroes but for the function is what `IRQ_WORK_INIT` makes.
            work <- Opaque::ffi_init(|slot: *mut bindings::irq_work| {
                // SAFETY: `slot` is valid for writes, and all zeroes is a valid `irq_work`.
                unsafe {
                    slot.write(core::mem::zeroed());
                    (*slot).func = Some(Self::run);
                }
            }),
            target <- target,
            _pin: PhantomPinned,
        }? E)
    }

    /// Asks for a call, unless one has been asked for and has not begun. That call sees all that
    /// was written before. May be called in any context, NMI included.
    #[doc(alias = "irq_work_queue")]
    pub fn queue(&self) {
        // SAFETY: By the type invariants the work is initialised, and `drop()` waits for it.
        unsafe { bindings::irq_work_queue(self.work.get()) };
    }

    /// # Safety
    ///
    /// `work` must be the work of an `IrqWork<T>`, called by the kernel.
    unsafe extern "C" fn run(work: *mut bindings::irq_work) {
        // SAFETY: By the function's contract `work` is at this offset in an `IrqWork<T>`; that is
        // alive, since its `drop()` waits for this function.
        let this = unsafe { &*work.byte_sub(offset_of!(Self, work)).cast::<Self>() };
        this.target.interrupted();
    }
}

impl<T: Interrupted> Deref for IrqWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.target
    }
}

#[pinned_drop]
impl<T: Interrupted> PinnedDrop for IrqWork<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The work is initialised. This waits until it is neither queued nor running, and
        // nobody queues it again, as nobody has a reference any more: the fields may go.
        unsafe { bindings::irq_work_sync(self.work.get()) };
    }
}
