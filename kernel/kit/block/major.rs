// SPDX-License-Identifier: GPL-2.0

//! The module's major number, which is also what unloading waits for.
//!
//! A disk's memory is freed by whoever drops the last reference to it, and that need not be the
//! driver: somebody who looks a device up while it goes (`blkdev_get_no_open()`) holds one for a
//! moment, without holding the module. Then the module's `free_disk` runs in that task, maybe after
//! the driver thought it was done. So the module may be unloaded only when `free_disk` of every
//! disk *has returned*:
//!
//! - dropping the [`Major`] waits until all its disks were counted off in `free_disk`;
//! - what runs after that (the end of the function) is in the module's text, too, and is waited
//!   for ([`tails`]), unless all disks were freed by the task that removed them.

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{Atomic, Full},
        Arc, Completion,
    },
};

use crate::{flag::Flag, tails};

/// A dynamic major number, in `/proc/devices` until dropped.
///
/// Dropping it waits until every [`Disk`](super::Disk) made with it has gone: drop those first.
pub struct Major {
    registration: Arc<Registration>,
}

/// What the disks of a major share with it.
///
/// # Invariants
///
/// `live` is the number of disks that were made and not freed yet, and one more for the [`Major`]
/// itself.
#[pin_data]
pub(super) struct Registration {
    number: u32,
    name: &'static CStr,
    live: Atomic<i32>,
    freed_elsewhere: Flag,
    #[pin]
    all_gone: Completion,
}

impl Major {
    /// Registers a major number for `name`.
    #[doc(alias = "register_blkdev")]
    pub fn register(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is a string that stays; 0 asks for any free number.
        let number = unsafe { bindings::__register_blkdev(0, name.as_char_ptr(), None) };
        if number < 0 {
            to_result(number)?;
        }
        let number = number as u32;
        let registration = Arc::pin_init(
            pin_init!(Registration {
                number,
                name,
                // INVARIANT: No disk yet.
                live: Atomic::new(1),
                freed_elsewhere: Flag::new(false),
                all_gone <- Completion::new(),
            }),
            GFP_KERNEL,
        );
        match registration {
            Ok(registration) => Ok(Self { registration }),
            Err(error) => {
                unregister(number, name);
                Err(error)
            }
        }
    }

    /// The number.
    pub fn number(&self) -> u32 {
        self.registration.number
    }

    /// Counts a disk that is being made.
    pub(super) fn new_disk(&self) -> Arc<Registration> {
        // INVARIANT: One more.
        self.registration.live.fetch_add(1, Full);
        self.registration.clone()
    }
}

impl Registration {
    /// Counts a disk off whose memory was freed. `elsewhere` says that this runs in another task
    /// than the one that removed it.
    pub(super) fn disk_freed(&self, elsewhere: bool) {
        if elsewhere {
            self.freed_elsewhere.set(true);
        }
        // INVARIANT: One less. Fully ordered: who sees the 0 sees the flag, and all that was done
        // to the disk.
        if self.live.fetch_sub(1, Full) == 1 {
            self.all_gone.complete_all();
        }
    }
}

impl Drop for Major {
    fn drop(&mut self) {
        let shared = &self.registration;
        unregister(shared.number, shared.name);
        if shared.live.fetch_sub(1, Full) != 1 {
            shared.all_gone.wait_for_completion();
        }
        if shared.freed_elsewhere.get() {
            tails::wait();
        }
    }
}

#[doc(alias = "unregister_blkdev")]
fn unregister(number: u32, name: &'static CStr) {
    // SAFETY: Registered with this number and name.
    unsafe { bindings::unregister_blkdev(number, name.as_char_ptr()) };
}
