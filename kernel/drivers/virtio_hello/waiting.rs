// SPDX-License-Identifier: GPL-2.0

//! How a task waits.

use kernel::prelude::*;
use kit::waiters::Waiters;

/// Attempts something until it is done or has failed for good. As long as it says `EAGAIN`, it waits
/// to be woken, if it may.
///
/// `attempt` must not sleep. `ERESTARTSYS` if a signal came.
pub(crate) fn until<T>(
    waiters: &Waiters,
    may_wait: bool,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut outcome = attempt();
    if may_wait && is_again(&outcome) {
        waiters.wait_until(|| {
            outcome = attempt();
            !is_again(&outcome)
        })?;
    }
    outcome
}

fn is_again<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(error) if *error == EAGAIN)
}
