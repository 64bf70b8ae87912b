// SPDX-License-Identifier: GPL-2.0

//! The last instructions of a function that another task runs.
//!
//! A callback that says "I am done" (by a completion) has still to return. If another task runs
//! it, that task may have been preempted just there, in the module's text, and the module must not
//! go before it is out of it.

use kernel::bindings;

/// Waits until no task is preempted in this module's code that was so when this was called.
///
/// It takes long (up to a second). `synchronize_rcu_tasks()` waits until every task has scheduled
/// voluntarily or been in user space, which none does in the tail of such a callback.
pub fn wait() {
    // SAFETY: Called in process context, where it may sleep.
    #[cfg(CONFIG_TASKS_RCU)]
    unsafe {
        bindings::synchronize_rcu_tasks()
    };
    // Without it this is the best there is. A preemptible kernel gets tasks RCU with kprobes or
    // tracers, and the yard's configurations have kprobes; one that is not preemptible needs no more.
    #[cfg(not(CONFIG_TASKS_RCU))]
    kernel::sync::rcu::synchronize_rcu();
}
