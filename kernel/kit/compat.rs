// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernels that the kit is built for.
//!
//! This file is the only one that asks which kernel that is: `#[cfg(kernel_7_3)]` is "7.3 or later",
//! made by the Kbuild file from the version of the kernel that it builds for. Everything here has
//! one form for all of them, so neither the rest of the kit nor a driver notices. When the oldest
//! kernel is dropped, its half goes, and the other half takes its place where it is used.

use kernel::{
    bindings,
    ffi::c_int,
    task::{Pid, Task},
};

/// The module that this copy of the kit is linked into: what `THIS_MODULE` is in C, and null for a
/// driver that is built in.
///
/// Upstream, an abstraction learns its user's module from `T::OwnerModule`, which `#[vtable]` adds
/// since 7.3. The kit is part of its user's module, so it need not be told.
pub(crate) const fn this_module() -> *mut bindings::module {
    #[cfg(MODULE)]
    {
        // modpost adds this symbol to each module.
        (&raw const bindings::__this_module).cast_mut()
    }
    #[cfg(not(MODULE))]
    core::ptr::null_mut()
}

/// What a file system does when a file is made: `create` of `inode_operations`.
pub(crate) trait Create {
    /// Makes a regular file of this name, and answers as the VFS wants it.
    ///
    /// # Safety
    ///
    /// Called by the VFS alone, for a folder that is locked and a name that is negative.
    unsafe fn create(
        folder: *mut bindings::inode,
        name: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int;

    /// The function for the table. Before 7.3 it is told whether the file must not exist, which for
    /// a negative name says nothing.
    ///
    /// # Safety
    ///
    /// As for [`Self::create`].
    unsafe extern "C" fn entry(
        _: *mut bindings::mnt_idmap,
        folder: *mut bindings::inode,
        name: *mut bindings::dentry,
        mode: bindings::umode_t,
        #[cfg(not(kernel_7_3))] _exclusive: bool,
    ) -> c_int {
        // SAFETY: By the function's contract.
        unsafe { Self::create(folder, name, mode) }
    }
}

/// How far into its current segment a bio's iterator is.
#[inline(always)]
pub(crate) fn bio_iter_offset(iter: &bindings::bvec_iter) -> usize {
    #[cfg(kernel_7_3)]
    let offset = iter.bi_offset;
    #[cfg(not(kernel_7_3))]
    let offset = iter.bi_bvec_done;
    offset as usize
}

#[cfg(kernel_7_3)]
pub(crate) use kernel::sync::rcu::rcu_barrier;

/// Waits until the callbacks of RCU that were asked for are over.
#[cfg(not(kernel_7_3))]
pub(crate) fn rcu_barrier() {
    // SAFETY: It may be called wherever one may sleep, which RCU itself checks.
    unsafe { bindings::rcu_barrier() };
}

/// The process of a task (what user space calls a pid).
pub(crate) fn tgid(task: &Task) -> Pid {
    #[cfg(kernel_7_3)]
    return task.tgid();
    #[cfg(not(kernel_7_3))]
    // SAFETY: The task is there, and this field of it never changes.
    return unsafe { (*task.as_ptr()).tgid };
}

#[cfg(not(kernel_7_3))]
pub(crate) use self::spinlock_irq::{new_spinlock_irq, SpinLockIrq, SpinLockIrqGuard};
#[cfg(kernel_7_3)]
pub(crate) use kernel::{
    new_spinlock_irq,
    sync::{SpinLockIrq, SpinLockIrqGuard},
};

/// Spin locks that are taken in interrupts too, which 7.3 has.
#[cfg(not(kernel_7_3))]
mod spinlock_irq {
    use kernel::{
        bindings,
        ffi::{c_char, c_ulong},
        sync::lock::{Backend, Guard, Lock},
    };

    /// As the kernel's own macro of that name.
    macro_rules! new_spinlock_irq {
        ($inner:expr, $name:literal) => {
            $crate::compat::SpinLockIrq::new(
                $inner,
                kernel::optional_name!($name),
                kernel::static_lock_class!(),
            )
        };
    }
    pub(crate) use new_spinlock_irq;

    /// A spin lock whose holder cannot be interrupted.
    pub(crate) type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;

    /// What locking gives.
    pub(crate) type SpinLockIrqGuard<'a, T> = Guard<'a, T, SpinLockIrqBackend>;

    /// `spin_lock_irqsave()` and its counterpart. What the guard keeps is whether there were
    /// interrupts before.
    pub(crate) struct SpinLockIrqBackend;

    fn raw(lock: *mut bindings::spinlock_t) -> *mut bindings::raw_spinlock_t {
        lock.cast()
    }

    // SAFETY: The `spinlock_t` ensures mutual exclusion. `relock` is the default, which calls
    // `lock`.
    unsafe impl Backend for SpinLockIrqBackend {
        type State = bindings::spinlock_t;
        type GuardState = c_ulong;

        unsafe fn init(
            lock: *mut Self::State,
            name: *const c_char,
            key: *mut bindings::lock_class_key,
        ) {
            // SAFETY: By the function's contract.
            unsafe { bindings::__spin_lock_init(lock, name, key) }
        }

        unsafe fn lock(lock: *mut Self::State) -> c_ulong {
            // SAFETY: By the function's contract; the raw lock is what it begins with.
            unsafe { bindings::_raw_spin_lock_irqsave(raw(lock)) }
        }

        unsafe fn unlock(lock: *mut Self::State, flags: &c_ulong) {
            // SAFETY: By the function's contract, the caller holds it, with these flags.
            unsafe { bindings::_raw_spin_unlock_irqrestore(raw(lock), *flags) }
        }

        /// Does not try: that takes inline functions which 7.2 has no helpers of.
        unsafe fn try_lock(_: *mut Self::State) -> Option<c_ulong> {
            None
        }

        unsafe fn assert_is_held(lock: *mut Self::State) {
            // SAFETY: By the function's contract.
            unsafe { bindings::spin_assert_is_held(lock) }
        }
    }
}

/// Error codes that the `kernel` crate had no names for before 7.3.
#[cfg(kernel_7_3)]
pub mod errno {
    pub use kernel::error::code::{
        EALREADY, EBADMSG, ENODATA, ENOTCONN, EOPNOTSUPP, EPROTO, ESTALE,
    };
}

/// Error codes that the `kernel` crate had no names for before 7.3.
#[cfg(not(kernel_7_3))]
pub mod errno {
    use core::num::NonZeroI32;
    use kernel::{bindings, error::Error};

    macro_rules! declare {
        ($($name:ident: $meaning:literal,)*) => {
            $(
                #[doc = $meaning]
                pub const $name: Error = error(bindings::$name);
            )*
        };
    }

    declare! {
        EALREADY: "Operation already in progress.",
        EBADMSG: "Not a data message.",
        ENODATA: "No data available.",
        ENOTCONN: "Transport endpoint is not connected.",
        EOPNOTSUPP: "Operation not supported on transport endpoint.",
        EPROTO: "Protocol error.",
        ESTALE: "Stale file handle.",
    }

    const fn error(code: u32) -> Error {
        assert!(0 < code && code <= bindings::MAX_ERRNO);
        let Some(negative) = NonZeroI32::new(-(code as i32)) else {
            panic!()
        };
        // SAFETY: An `Error` is a `NonZeroI32` and nothing else (the sizes are compared here), and
        // the code is in its range.
        unsafe { core::mem::transmute::<NonZeroI32, Error>(negative) }
    }
}
