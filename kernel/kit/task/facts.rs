// SPDX-License-Identifier: GPL-2.0

//! What can be told of a task by whoever has a reference to it.

use core::ptr::NonNull;

use kernel::{
    bindings,
    cred::Credential,
    fmt,
    mm::MmWithUser,
    page::PAGE_SIZE,
    str::BStr,
    sync::{aref::ARef, rcu},
    task::Task,
};
use kit_bindings as task_bindings;

use super::Reader;

/// What a task is doing.
pub struct State(u8);

impl fmt::Display for State {
    /// The letter and the word of `/proc/PID/status`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            b'R' => "R (running)",
            b'S' => "S (sleeping)",
            b'D' => "D (disk sleep)",
            b'T' => "T (stopped)",
            b't' => "t (tracing stop)",
            b'X' => "X (dead)",
            b'Z' => "Z (zombie)",
            b'P' => "P (parked)",
            b'I' => "I (idle)",
            _ => "? (unknown)",
        })
    }
}

/// The name of a task: what it has of its program's, or has set.
pub struct Name([u8; bindings::TASK_COMM_LEN as usize]);

impl fmt::Display for Name {
    /// A task may choose its name freely, so what is not printable is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0);
        let name = &self.0[..end.unwrap_or(self.0.len())];
        fmt::Display::fmt(BStr::from_bytes(name), f)
    }
}

/// Users and groups, as numbers of a user namespace (65534 for those that it does not have).
pub struct Ids {
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
}

/// Memory, in bytes.
pub struct Memory {
    /// What is mapped.
    pub mapped: usize,
    /// What of it is in RAM.
    pub resident: usize,
}

/// What can be told of a task that one has a reference to.
pub trait Facts {
    /// Its name.
    fn name(&self) -> Name;
    /// What it is doing.
    fn state(&self) -> State;
    /// The number of its parent's process; 0 if there is none, or none in the reader's namespace.
    fn parent(&self, reader: &Reader) -> i32;
    /// How many threads its process has.
    fn threads(&self) -> i32;
    /// As whom others see it.
    fn credentials(&self) -> ARef<Credential>;
    /// The same, as numbers of the reader's user namespace.
    fn ids(&self, reader: &Reader) -> Ids;
    /// Its memory; `None` for a kernel thread and after its exit. May sleep.
    fn memory(&self) -> Option<Memory>;
    /// When its process began, in nanoseconds since boot.
    fn started(&self) -> u64;
    /// How many files it has open; `None` after its exit.
    fn open_files(&self) -> Option<u32>;
}

impl Facts for Task {
    #[doc(alias = "get_task_comm")]
    fn name(&self) -> Name {
        let comm = self.as_ptr();
        // SAFETY: The task is valid. Its name may be written meanwhile, without a lock, and may then
        // be a mixture; each byte is read once.
        Name(core::array::from_fn(|at| unsafe {
            (&raw const (*comm).comm[at]).cast::<u8>().read_volatile()
        }))
    }

    #[doc(alias = "task_state_to_char")]
    fn state(&self) -> State {
        // SAFETY: The task is valid; the function reads its states once each.
        State(unsafe { task_bindings::task_state_to_char(self.as_ptr()) } as u8)
    }

    #[doc(alias = "task_ppid_nr_ns")]
    fn parent(&self, reader: &Reader) -> i32 {
        // SAFETY: The task and the namespace are valid; the function takes the RCU read lock.
        unsafe { task_bindings::task_ppid_nr_ns(self.as_ptr(), reader.namespace.as_ptr()) }
    }

    #[doc(alias = "get_nr_threads")]
    fn threads(&self) -> i32 {
        // SAFETY: The task is valid, and keeps its `signal`. The number is written under a lock; a
        // marked read gives a recent one.
        unsafe { (&raw const (*(*self.as_ptr()).signal).nr_threads).read_volatile() }
    }

    #[doc(alias = "get_task_cred")]
    fn credentials(&self) -> ARef<Credential> {
        // SAFETY: The task is valid, so it has credentials.
        let cred = unsafe { bindings::get_task_cred(self.as_ptr()) };
        // SAFETY: They are not null, and a reference was taken for us.
        unsafe { ARef::from_raw(NonNull::new_unchecked(cred.cast_mut().cast())) }
    }

    fn ids(&self, reader: &Reader) -> Ids {
        let cred = self.credentials();
        // SAFETY: Both credentials are valid; these fields of them do not change, and they keep
        // their namespace.
        unsafe {
            let (seen_by, cred) = ((*reader.credentials.as_ptr()).user_ns, &*cred.as_ptr());
            Ids {
                uid: task_bindings::from_kuid_munged(seen_by, cred.uid),
                euid: task_bindings::from_kuid_munged(seen_by, cred.euid),
                gid: task_bindings::from_kgid_munged(seen_by, cred.gid),
                egid: task_bindings::from_kgid_munged(seen_by, cred.egid),
            }
        }
    }

    #[doc(alias = "get_task_mm")]
    fn memory(&self) -> Option<Memory> {
        // SAFETY: The task is valid.
        let mm = NonNull::new(unsafe { bindings::get_task_mm(self.as_ptr()) })?;
        // SAFETY: It has taken a reference for us, as a user.
        let mm: ARef<MmWithUser> = unsafe { ARef::from_raw(mm.cast()) };
        // SAFETY: It is valid. The count of pages is written under a lock; a marked read gives a
        // recent one. `get_mm_rss_sum()` locks.
        let (mapped, resident) = unsafe {
            let mm = mm.as_raw();
            (
                (&raw const (*mm).__bindgen_anon_1.total_vm).read_volatile(),
                task_bindings::get_mm_rss_sum(mm),
            )
        };
        Some(Memory {
            mapped: mapped * PAGE_SIZE,
            resident: resident * PAGE_SIZE,
        })
    }

    fn started(&self) -> u64 {
        // SAFETY: The task is valid. An `execve()` by another thread may set the time, to that of
        // the process; it is read once.
        let time = unsafe { (&raw const (*self.as_ptr()).start_boottime).read_volatile() };
        // SAFETY: Called by a task that has namespaces, as every task has that is not exiting.
        unsafe { task_bindings::timens_add_boottime_ns(time) }
    }

    fn open_files(&self) -> Option<u32> {
        let task = self.as_ptr();
        // SAFETY: The task is valid; nothing that sleeps is called until it is unlocked.
        unsafe { task_bindings::task_lock(task) };
        // SAFETY: Under the task's lock its files stay, if there are any.
        let count = NonNull::new(unsafe { (*task).files }).map(|files| unsafe { open_in(files) });
        // SAFETY: Locked above.
        unsafe { task_bindings::task_unlock(task) };
        count
    }
}

/// How many files are open in a table of files.
///
/// # Safety
///
/// The table must stay until this returns.
unsafe fn open_in(files: NonNull<bindings::files_struct>) -> u32 {
    let _rcu = rcu::read_lock();
    // SAFETY: The table stays, and what it points to, under the RCU read lock: it is replaced when
    // it grows, and freed a grace period later. Its bitmap has a bit for each of `max_fds`, which
    // is a multiple of the bits of a word; bits come and go meanwhile.
    unsafe {
        let table = (&raw const (*files.as_ptr()).fdt).read_volatile();
        let words = (*table).max_fds as usize / usize::BITS as usize;
        let bits = (*table).open_fds;
        (0..words)
            .map(|at| bits.add(at).read_volatile().count_ones())
            .sum()
    }
}
