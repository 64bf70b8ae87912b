// SPDX-License-Identifier: GPL-2.0

//! Whether the current task may do what only an administrator may.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::{bindings, prelude::*};

/// Fails with `EPERM` unless the current task has `CAP_SYS_ADMIN` in the initial user namespace.
#[doc(alias = "capable")]
pub fn require_sys_admin() -> Result {
    // SAFETY: `capable()` judges the current task, may be called in process context with any valid
    // capability, and `CAP_SYS_ADMIN` is one.
    if unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) } {
        Ok(())
    } else {
        Err(EPERM)
    }
}
