// SPDX-License-Identifier: GPL-2.0

//! Who called the probed function.

use core::ptr::addr_of;

use crate::compat;

use kernel::{
    bindings, current, fmt,
    page::PAGE_SIZE,
    task::{Pid, Task},
};

/// The length of a thread's name, with at least one zero byte at its end.
pub const NAME_LEN: usize = bindings::TASK_COMM_LEN as usize;

/// The current task, as a probe may ask for it: in any context, without a lock.
///
/// In an interrupt, it is the task that was interrupted. Numbers are those of the initial
/// namespaces.
pub struct Caller(());

impl Caller {
    /// The current task.
    pub fn current() -> Self {
        Self(())
    }

    /// Its process (what user space calls a pid).
    #[doc(alias = "tgid")]
    pub fn process(&self) -> Pid {
        compat::tgid(current!())
    }

    /// Its real user id.
    pub fn uid(&self) -> u32 {
        current!().uid().into_raw().val
    }

    /// The thread's name. One that is being changed may be seen half changed, as everywhere in the
    /// kernel.
    #[doc(alias = "get_task_comm")]
    pub fn name(&self) -> [u8; NAME_LEN] {
        let task = Task::current_raw();
        let mut name = [0; NAME_LEN];
        for (at, byte) in name[..NAME_LEN - 1].iter_mut().enumerate() {
            // SAFETY: The current task is alive. Its name may be written meanwhile; a volatile read
            // of one byte sees the old or the new one.
            *byte = unsafe { addr_of!((*task).comm[at]).read_volatile() };
        }
        name
    }

    /// The system call that it is in; `None` if it is in none: for a thread
    /// of the kernel, io_uring's workers among them, and in an exception from user mode.
    #[doc(alias = "syscall_get_nr")]
    pub fn system_call(&self) -> Option<SystemCall> {
        const NO_USER_MODE: u32 = bindings::PF_KTHREAD | bindings::PF_USER_WORKER;
        let task = Task::current_raw();
        // SAFETY: The current task is alive, and nobody else changes these flags.
        if unsafe { addr_of!((*task).flags).read_volatile() } & NO_USER_MODE != 0 {
            return None;
        }
        // SAFETY: As above; a running task has its stack.
        let stack = unsafe { (*task).stack }.cast::<u8>();
        let top = (PAGE_SIZE << bindings::THREAD_SIZE_ORDER)
            - bindings::TOP_OF_KERNEL_STACK_PADDING as usize;
        // SAFETY: What `task_pt_regs()` does: the registers with which a task entered the kernel
        // from user mode are at the top of its stack, and this task did.
        let number = unsafe {
            let registers = stack.add(top).cast::<bindings::pt_regs>().sub(1);
            addr_of!((*registers).orig_ax).read()
        };
        // -1, and not the number of a call, if it was an exception or an interrupt.
        u32::try_from(number).ok().map(SystemCall)
    }
}

/// A system call, printed by its name if it is one that opens files, otherwise by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SystemCall(u32);

impl SystemCall {
    const NAMES: [(u32, &'static str); 7] = [
        (bindings::__NR_open, "open"),
        (bindings::__NR_openat, "openat"),
        (bindings::__NR_openat2, "openat2"),
        (bindings::__NR_creat, "creat"),
        (bindings::__NR_execve, "execve"),
        (bindings::__NR_execveat, "execveat"),
        (bindings::__NR_io_uring_enter, "io_uring"),
    ];
}

impl fmt::Display for SystemCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}
