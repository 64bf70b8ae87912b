// SPDX-License-Identifier: GPL-2.0

//! Tasks that wait for something that happens in any context: in a probe, an interrupt, an NMI.
//!
//! A condition variable wakes its waiters safely only from where the scheduler's locks may be
//! taken, and misses none only if who changes the condition takes the lock that goes with it. A
//! probe may do neither. So it asks for an interrupt, and that takes the lock and wakes.

use kernel::{
    fs::File,
    new_poll_condvar,
    prelude::*,
    sync::poll::{PollCondVar, PollTable},
};

use crate::compat::{new_spinlock_irq, SpinLockIrq};
use crate::irq_work::{Interrupted, IrqWork};

/// Tasks that wait or poll for a condition.
#[pin_data]
pub struct Waiters {
    #[pin]
    wake: IrqWork<Wake>,
}

impl Waiters {
    /// Nobody waits yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            wake <- IrqWork::new(pin_init!(Wake {
                lock <- new_spinlock_irq!((), "Waiters::lock"),
                tasks <- new_poll_condvar!("Waiters::tasks"),
            })),
        })
    }

    /// Has all of them look at their conditions again, soon. They see what was written before this.
    /// May be called in any context, NMI included.
    pub fn wake(&self) {
        self.wake.queue();
    }

    /// Waits until `condition` holds; it must not sleep.
    ///
    /// Whoever makes it hold has to call [`Self::wake`] after that. Fails with `ERESTARTSYS` on a
    /// signal.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) -> Result {
        let mut guard = self.wake.lock.lock();
        // The lock is held from before the condition is looked at until this task is on the queue.
        // If it comes to hold in between, the interrupt that comes with it waits for the lock, and
        // finds the task there.
        while !condition() {
            if self.wake.tasks.wait_interruptible(&mut guard) {
                return Err(ERESTARTSYS);
            }
        }
        Ok(())
    }

    /// Registers a file that is being polled; to be done before looking at the condition.
    pub fn register(&self, file: &File, table: &PollTable<'_>) {
        table.register_wait(file, &self.wake.tasks);
    }
}

/// What the interrupt does.
#[pin_data]
struct Wake {
    /// Guards nothing but the order of looking and waiting.
    #[pin]
    lock: SpinLockIrq<()>,
    #[pin]
    tasks: PollCondVar,
}

impl Interrupted for Wake {
    fn interrupted(&self) {
        drop(self.lock.lock());
        self.tasks.notify_all();
    }
}
