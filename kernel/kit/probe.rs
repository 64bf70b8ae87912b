// SPDX-License-Identifier: GPL-2.0

//! Probes: a call of ours on entry to a function of the kernel.
//!
//! A kprobe replaces the function's first instruction by a breakpoint (or, where it can, by a
//! jump), calls the handler with the registers, executes the instruction elsewhere, and goes on.
//! The probed code does not notice, and nothing that other code relies on is changed: no table of
//! pointers is patched. `kernel` has no abstraction for it.
//!
//! # How to write one
//!
//! - A probed function is a type that implements [`Function`]: its symbol, and its arguments as
//!   types. The compiler cannot check them against the kernel's C, so the trait is unsafe to
//!   implement, and the kit has the implementations, in [`functions`].
//! - A [`Handler`] names its function and gets the arguments. It must not sleep: it runs with
//!   preemption off, and mostly with interrupts off. It can be entered wherever the function is
//!   called, on all CPUs at a time.
//! - What a handler wants to tell goes into a [`Ring`](crate::ring::Ring); for who waits for it there
//!   are [`Waiters`](crate::waiters::Waiters); who is calling, says [`Caller`].
//! - [`Probe::register`] puts it in place; dropping the [`Probe`] takes it out and waits.
//!
//! # Missed calls
//!
//! While a CPU runs a handler it does not run another one. A probed function that is called by the
//! handler itself, or by an interrupt meanwhile, is executed without it; [`Probe::missed`] counts
//! these.
//!
//! C header: [`include/linux/kprobes.h`](srctree/include/linux/kprobes.h)

mod caller;
pub mod functions;
mod registers;

use core::{marker::PhantomPinned, mem::offset_of, ptr::addr_of};

use kernel::{error::to_result, prelude::*, types::Opaque};
use kit_bindings as bindings;

pub use self::{
    caller::{Caller, SystemCall, NAME_LEN},
    registers::Registers,
};

/// A function of the kernel that can be probed.
///
/// # Safety
///
/// [`SYMBOL`](Self::SYMBOL) must be a function of the kernel for which
/// [`arguments`](Self::arguments) is sound when called on its entry. The arguments must not outlive
/// the call of the handler: it is given them for a lifetime that it cannot choose.
pub unsafe trait Function: 'static {
    /// Its name.
    const SYMBOL: &'static CStr;
    /// Its arguments; they live as long as the handler runs.
    type Arguments<'a>;

    /// The arguments of a call.
    ///
    /// # Safety
    ///
    /// `registers` must be those on entry to the function, in a call that does not go on before
    /// `'a` ends.
    unsafe fn arguments<'a>(registers: &'a Registers) -> Self::Arguments<'a>;
}

/// What is done on entry to a function.
pub trait Handler: Send + Sync + 'static {
    /// Which one.
    type Function: Function;

    /// Called with preemption off; must not sleep. Not called again on the same CPU until it has
    /// returned.
    fn entered(&self, arguments: <Self::Function as Function>::Arguments<'_>);
}

/// A handler that is in place until dropped.
///
/// # Invariants
///
/// `kprobe` is registered, with the handler [`Self::pre_handler`].
#[pin_data(PinnedDrop)]
pub struct Probe<H: Handler> {
    #[pin]
    kprobe: Opaque<bindings::kprobe>,
    #[pin]
    handler: H,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A kprobe may be unregistered by any task; handlers are `Send`.
unsafe impl<H: Handler> Send for Probe<H> {}
// SAFETY: A shared reference only lends the handler, which is `Sync`, and reads a counter.
unsafe impl<H: Handler> Sync for Probe<H> {}

impl<H: Handler> Probe<H> {
    /// Puts the handler in place; it may be called before this returns.
    ///
    /// Fails with `ENOENT` if the kernel has no such function, and with `EINVAL` if it may not be
    /// probed (it is part of what probes are made of, or traced by other means).
    #[doc(alias = "register_kprobe")]
    pub fn register(handler: impl PinInit<H, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Before `kprobe`: fields are initialised in this order, and a handler that is in place
            // is called.
            handler <- handler,
            _pin: PhantomPinned,
            // INVARIANT: Registered just here, or the whole is not made.
            kprobe <- Opaque::try_ffi_init(|slot: *mut bindings::kprobe| {
                // SAFETY: `slot` is valid for writes, and all zeroes is a valid `kprobe`. It stays
                // where it is until `drop()`, and the name is static.
                unsafe {
                    slot.write(core::mem::zeroed());
                    (*slot).symbol_name = H::Function::SYMBOL.as_char_ptr();
                    (*slot).pre_handler = Some(Self::pre_handler);
                    to_result(bindings::register_kprobe(slot))
                }
            }),
        })
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// How many calls of the function the handler has missed.
    pub fn missed(&self) -> usize {
        // SAFETY: The field is initialised and aligned; the kernel changes it with plain
        // increments, and reads it as we do.
        unsafe { addr_of!((*self.kprobe.get()).nmissed).read_volatile() }
    }

    /// # Safety
    ///
    /// Called by the kernel, with the kprobe of a `Probe<H>` and the registers on entry to its
    /// function.
    unsafe extern "C" fn pre_handler(
        kprobe: *mut bindings::kprobe,
        registers: *mut kernel::bindings::pt_regs,
    ) -> c_int {
        // SAFETY: By the function's contract `kprobe` is at this offset in a `Probe<H>`. That is
        // alive: its `drop()` waits for this function. Only `handler` is borrowed, which was
        // initialised before the kprobe was registered.
        let handler = unsafe {
            let this = kprobe.byte_sub(offset_of!(Self, kprobe)).cast::<Self>();
            &(*this).handler
        };
        // SAFETY: By the function's contract; the registers stay as they are until it returns.
        let registers = unsafe { Registers::from_raw(registers) };
        // SAFETY: By the function's contract, and the call goes on after this function has
        // returned; a handler has to take the arguments for any lifetime, so it cannot keep them.
        handler.entered(unsafe { H::Function::arguments(registers) });
        // Go on with the function as if nothing had been.
        0
    }
}

#[pinned_drop]
impl<H: Handler> PinnedDrop for Probe<H> {
    #[doc(alias = "unregister_kprobe")]
    fn drop(self: Pin<&mut Self>) {
        // Takes the breakpoint out, then waits for an RCU grace period. That is enough for the
        // handler and the module's code to go, as handlers run with preemption off (in the
        // breakpoint's exception, or in the jump's trampoline, which turns it off), which is a
        // read-side critical section: whoever found the probe before it was taken out has returned
        // from its handler.
        //
        // SAFETY: By the type invariant it is registered.
        unsafe { bindings::unregister_kprobe(self.kprobe.get()) };
    }
}
