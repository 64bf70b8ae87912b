// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place that waits for children.
//!
//! PID 1 inherits every orphan and must collect them all; a `wait` for any child, however, would also take
//! those that somebody else waits for. So all waiting happens here, and who started a process asks the
//! [table](Table). Starting happens under the table's lock: the standard library collects a child by itself
//! when its program cannot be executed, and must not find it collected already. Sending a signal
//! happens under the lock too, so that it never reaches a stranger who got the number of a dead one.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process_group, wait, waitid,
};

use crate::error::{Context, Error};

#[derive(Default)]
struct Table {
    /// Running ones have no status yet.
    children: HashMap<Pid, Option<WaitStatus>>,
    started: u64,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);
static CHANGED: Condvar = Condvar::new();

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Starts the thread that collects.
pub fn start() -> Result<(), Error> {
    let thread = std::thread::Builder::new().name("reaper".into());
    thread.spawn(collect).context(|| "cannot start the reaper".into()).map(drop)
}

/// Starts a program. Its end must be asked for with [`wait_for`].
pub fn spawn(command: &mut Command) -> io::Result<(Child, Pid)> {
    // SAFETY: between fork and exec the closure makes three system calls through rustix on constant memory; it
    // neither allocates nor locks.
    unsafe { command.pre_exec(usual_oom_score) };
    let mut table = table();
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    table.children.insert(pid, None);
    table.started += 1;
    CHANGED.notify_all();
    Ok((child, pid))
}

/// Only PID 1 is spared by the out-of-memory killer, not what it starts. Without the file there is no killer.
fn usual_oom_score() -> io::Result<()> {
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY, Mode::empty()) {
        rustix::io::write(file, b"0")?;
    }
    Ok(())
}

/// Waits until the child has ended, and forgets it.
pub fn wait_for(pid: Pid) -> End {
    let mut table = table();
    loop {
        match table.children.get(&pid) {
            Some(None) => table = CHANGED.wait(table).unwrap_or_else(PoisonError::into_inner),
            Some(Some(status)) => {
                let end = end_of(*status);
                table.children.remove(&pid);
                return end;
            }
            // Somebody else asked before us, which no caller here does.
            None => return End::Exited(-1),
        }
    }
}

/// Runs a program to its end; its exit code, or 128 plus the signal.
pub fn run(command: &mut Command) -> io::Result<i32> {
    let (_child, pid) = spawn(command)?;
    Ok(match wait_for(pid) {
        End::Exited(code) => code,
        End::Killed(signal) => 128 + signal,
    })
}

/// Sends a signal to the process group of a child that has not been collected.
pub fn signal_group(pid: Pid, signal: Signal) {
    let table = table();
    if matches!(table.children.get(&pid), Some(None)) {
        // Fails only if the whole group has ended.
        let _ = kill_process_group(pid, signal);
    }
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Killed(signal),
        // Not asked for: stops and continuations are no ends.
        (None, None) => End::Exited(-1),
    }
}

/// Blocks until some child has ended, without collecting it; then collects all that have, under the lock.
fn collect() {
    loop {
        let before = table().started;
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => collect_ended(&mut table()),
            Err(rustix::io::Errno::CHILD) => wait_for_a_start(before),
            Err(_) => {}
        }
    }
}

fn collect_ended(table: &mut Table) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if let Some(slot) = table.children.get_mut(&pid) {
            *slot = Some(status);
            CHANGED.notify_all();
        }
    }
}

/// Without children there can be no orphans either, until something is started.
fn wait_for_a_start(before: u64) {
    let mut table = table();
    while table.started == before {
        table = CHANGED.wait(table).unwrap_or_else(PoisonError::into_inner);
    }
}
