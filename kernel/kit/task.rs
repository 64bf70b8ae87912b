// SPDX-License-Identifier: GPL-2.0

//! What the kernel knows of other processes, and signals to them.
//!
//! The `kernel` crate's `Task` tells what a task may ask of itself. What others ask is here.
//!
//! # What keeps what
//!
//! - A [`Pid`] is the identity of a process, small, and may be kept for as long as one likes: when
//!   the process has gone it refers to nothing, also if the number is given to another one.
//! - An `ARef<Task>` keeps a `task_struct`, which is large: it is for the time of one call. It does
//!   not keep what the task has. Memory and files go when it exits, so they are an `Option` here.
//! - Looking a number up, and going from a task to its parent, is done under the RCU read lock:
//!   both pids and tasks are freed a grace period after they were taken out of the tables, and
//!   what is found in a table has a reference until then. So a reference may be taken there.
//!
//! What is told of a task is read one after the other, while it runs: each value was right at some
//! moment of the call.
//!
//! C headers: [`include/linux/pid.h`](srctree/include/linux/pid.h),
//! [`include/linux/sched.h`](srctree/include/linux/sched.h)

mod facts;

pub use facts::{Facts, Ids, Memory, Name, State};

use core::ptr::{self, NonNull};

use kernel::{
    bindings,
    cred::Credential,
    error::to_result,
    fs::File,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::{aref::ARef, rcu},
    task::Task,
};
use kit_bindings as task_bindings;

/// The identity of a process.
///
/// # Invariants
///
/// A reference to a pid, which is ours.
pub struct Pid(NonNull<bindings::pid>);

// SAFETY: A pid is counted, and may be given up by any task.
unsafe impl Send for Pid {}
// SAFETY: What is looked at under `&Pid` does not change, or is read under RCU.
unsafe impl Sync for Pid {}

impl Clone for Pid {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant there is a reference, so there may be another one.
        // INVARIANT: That is ours.
        Self(unsafe { Self::get(self.0) })
    }
}

impl Drop for Pid {
    #[doc(alias = "put_pid")]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

impl Pid {
    /// Takes a reference.
    ///
    /// # Safety
    ///
    /// There must be one already.
    unsafe fn get(pid: NonNull<bindings::pid>) -> NonNull<bindings::pid> {
        // SAFETY: By the function's contract.
        unsafe { task_bindings::get_pid(pid.as_ptr()) };
        pid
    }

    /// The process with this number, as a namespace counts; `None` also if it is the number of a
    /// thread that is not a process's first.
    #[doc(alias = "find_get_pid")]
    pub fn find(number: i32, namespace: &PidNamespace) -> Option<Self> {
        let _rcu = rcu::read_lock();
        // SAFETY: The namespace is valid, and the RCU read lock is held.
        let found = NonNull::new(unsafe { bindings::find_pid_ns(number, namespace.as_ptr()) })?;
        // SAFETY: Under the RCU read lock what was found has a reference.
        // INVARIANT: And this one is ours.
        let this = Self(unsafe { Self::get(found) });
        this.process().is_some().then_some(this)
    }

    /// The process itself, for the time of a call; `None` if it has gone.
    #[doc(alias = "get_pid_task")]
    pub fn process(&self) -> Option<ARef<Task>> {
        // SAFETY: By the type invariant.
        let task =
            unsafe { bindings::get_pid_task(self.0.as_ptr(), bindings::pid_type_PIDTYPE_TGID) };
        // SAFETY: It has taken a reference for us.
        NonNull::new(task).map(|task| unsafe { ARef::from_raw(task.cast()) })
    }

    /// Sends a signal (0 only asks whether one could), as `kill()` would, but only with `CAP_KILL`
    /// over the process; having its user is not enough.
    ///
    /// Both the current task and whoever opened `file` must have it: else one could open the file,
    /// and have a program with more rights write to it.
    ///
    /// # Errors
    ///
    /// `ESRCH` if the process has gone, `EPERM`, `EINVAL` if there is no such signal.
    #[doc(alias = "kill_pid")]
    pub fn signal(&self, signal: i32, file: &File) -> Result {
        let target = self.process().ok_or(ESRCH)?.credentials();
        // SAFETY: The credentials are valid, and keep their namespace.
        let namespace = unsafe { (*target.as_ptr()).user_ns };
        let kill = bindings::CAP_KILL as c_int;
        // SAFETY: The file and the namespace are valid, and so is the capability.
        let allowed = unsafe {
            bindings::file_ns_capable(file.as_ptr(), namespace, kill)
                && bindings::ns_capable(namespace, kill)
        };
        if !allowed {
            return Err(EPERM);
        }
        // SAFETY: By the type invariant. With 0 it is sent as by the current task, whose rights the
        // kernel judges once more (it may have become somebody else's process meanwhile).
        to_result(unsafe { bindings::kill_pid(self.0.as_ptr(), signal, 0) })
    }

    /// Whether this is the parent of `task`.
    pub fn is_parent_of(&self, task: &Task) -> bool {
        let _rcu = rcu::read_lock();
        let task = task.as_ptr();
        // SAFETY: The task is valid. While it has a pid (looked at first, as `pid_alive()` does) its
        // parent is one that RCU protects, and a task keeps its `signal`. The pointers that may
        // change are read once each.
        let parents = unsafe {
            if (&raw const (*task).thread_pid).read_volatile().is_null() {
                return false;
            }
            let parent = (&raw const (*task).real_parent).read_volatile();
            let pids = &raw const (*(*parent).signal).pids;
            (&raw const (*pids)[bindings::pid_type_PIDTYPE_TGID as usize]).read_volatile()
        };
        ptr::eq(parents, self.0.as_ptr())
    }
}

/// The process with the smallest number from `number` on, and its number, as a namespace counts.
#[doc(alias = "find_ge_pid")]
pub fn process_from(number: i32, namespace: &PidNamespace) -> Option<(i32, ARef<Task>)> {
    let mut number = number;
    loop {
        let _rcu = rcu::read_lock();
        // SAFETY: The namespace is valid, and the RCU read lock is held until what was found has
        // been looked at.
        let (found, task) = unsafe {
            let pid = NonNull::new(bindings::find_ge_pid(number, namespace.as_ptr()))?.as_ptr();
            let task = bindings::pid_task(pid, bindings::pid_type_PIDTYPE_TGID);
            (bindings::pid_nr_ns(pid, namespace.as_ptr()), task)
        };
        if let Some(task) = NonNull::new(task) {
            // SAFETY: Under the RCU read lock what was found has a reference, so that another one
            // may be taken.
            return Some((found, ARef::from(unsafe { task.cast::<Task>().as_ref() })));
        }
        number = found.checked_add(1)?;
    }
}

/// Who may be asked about another task: [`Facts`] of a task are for this reader.
///
/// A file's opener: whoever reads sees what that one would, also if the file was handed on.
pub struct Reader {
    /// Whose numbers of processes.
    pub namespace: ARef<PidNamespace>,
    /// In whose user namespace users and groups are told.
    pub credentials: ARef<Credential>,
}

impl Reader {
    /// The current task, which opens `file`.
    ///
    /// # Errors
    ///
    /// `ESRCH` if the task is exiting.
    pub fn opener(file: &File) -> Result<Self> {
        Ok(Self {
            namespace: kernel::current!().get_pid_ns().ok_or(ESRCH)?,
            credentials: file.cred().into(),
        })
    }
}
