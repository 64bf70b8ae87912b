// SPDX-License-Identifier: GPL-2.0

//! A scope in which no allocation starts I/O.
//!
//! A driver that needs memory to complete a request must not wait for memory that only becomes free
//! once the request is complete. C says `GFP_NOIO` for that; the `kernel` crate's `Flags` have no
//! such value, and the scope is what the kernel recommends anyway
//! ([`Documentation/core-api/gfp_mask-from-fs-io.rst`]): it also covers what is called from within.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use kernel::{bindings, task::Task, types::NotThreadSafe};

/// While this exists, allocations of the current task start no I/O.
///
/// # Invariants
///
/// `outer` is the state of `PF_MEMALLOC_NOIO` in the current task's flags before this scope.
#[must_use = "the scope ends when this is dropped"]
pub struct NoIo {
    outer: u32,
    _here: NotThreadSafe,
}

impl NoIo {
    /// Begins the scope.
    #[doc(alias = "memalloc_noio_save")]
    pub fn enter() -> Self {
        let task = Task::current_raw();
        // SAFETY: `task` is the current task, which is alive, and only the current task writes its
        // own `flags`.
        let outer = unsafe { (*task).flags };
        // SAFETY: As above.
        unsafe { (*task).flags = outer | bindings::PF_MEMALLOC_NOIO };
        // INVARIANT: That bit, as it was.
        Self {
            outer: outer & bindings::PF_MEMALLOC_NOIO,
            _here: NotThreadSafe,
        }
    }
}

impl Drop for NoIo {
    #[doc(alias = "memalloc_noio_restore")]
    fn drop(&mut self) {
        let task = Task::current_raw();
        // SAFETY: As in `enter()`; the value cannot have moved to another task, as it is not
        // `Send`.
        unsafe { (*task).flags = ((*task).flags & !bindings::PF_MEMALLOC_NOIO) | self.outer };
    }
}
