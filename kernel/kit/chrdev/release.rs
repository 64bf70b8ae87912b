// SPDX-License-Identifier: GPL-2.0

//! Releases that come later than the kernel says: waited for when the module goes.
//!
//! Whoever drops the last reference to a cdev holds the module until that has returned, so code of
//! the module may run in it. With `CONFIG_DEBUG_KOBJECT_RELEASE` this does not hold: the drop only
//! schedules the release, by seconds, and the work queue that calls it holds nothing. So where the
//! kernel has that option, devices that were removed are counted until they are released, and a
//! [`Number`](super::Number) or [`Class`](super::Class) that goes with the module waits until there
//! is none. A device cannot wait itself: it may be removed while files of it are open, which keep
//! it, and the module, for as long as they like.
//!
//! What is left to the driver, and matters with that option only: one of the two must be there
//! until the module goes (the number of a device that is removed then is), and what the files of a
//! device share must not own either, as it is dropped by the release.

use kernel::{
    bindings,
    sync::atomic::{Acquire, Atomic, Full},
    time::{delay::fsleep, Delta},
};

use crate::{compat, tails};

/// Whether the kernel puts off releases.
const PUT_OFF: bool = cfg!(CONFIG_DEBUG_KOBJECT_RELEASE);

/// How often to look: the kernel puts off by one to four seconds.
const PERIOD: Delta = Delta::from_millis(50);

/// Devices of this module that were removed, and not released yet.
static REMOVED: Atomic<i32> = Atomic::new(0);

/// A device is about to be removed.
#[inline]
pub(super) fn expect() {
    if PUT_OFF {
        REMOVED.fetch_add(1, Full);
    }
}

/// It was released, and nothing of it is left.
#[inline]
pub(super) fn done() {
    if PUT_OFF {
        REMOVED.fetch_sub(1, Full);
    }
}

/// If the module is going, waits until all devices that were removed are released. In process
/// context.
#[inline]
pub(super) fn wait() {
    if !PUT_OFF || !is_going() {
        return;
    }
    while REMOVED.load(Acquire) != 0 {
        fsleep(PERIOD);
    }
    // The last function that counted off has still to return.
    tails::wait();
}

/// Whether the module is being unloaded, or is still being initialised, which may fail: then
/// it goes in the same way.
fn is_going() -> bool {
    let module = compat::this_module();
    // SAFETY: The module is there while code of it runs. Its state may change meanwhile, as
    // `READ_ONCE()` allows, but not any more once it is being unloaded.
    !module.is_null()
        && unsafe { (&raw const (*module).state).read_volatile() }
            != bindings::module_state_MODULE_STATE_LIVE
}
