// SPDX-License-Identifier: MIT OR Apache-2.0
//! One thread that starts every child.
//!
//! `PR_SET_PDEATHSIG` ties a child to the *thread* that forked it, not to the process: a child that a test's
//! thread starts would be killed when that test ends, and one that outlives its thread would lose its
//! tie. So one thread, which lives as long as the process, does all the forking.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{LazyLock, mpsc};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

struct Job {
    command: Command,
    death_signal: Signal,
    own_group: bool,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

static SPAWNER: LazyLock<io::Result<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    std::thread::Builder::new().name("blockyard-spawn".into()).spawn(move || serve(&queue))?;
    Ok(jobs)
});

/// Starts `command` from the spawner thread. The child gets `death_signal` when this process dies, and a
/// process group of its own if `own_group`.
pub(super) fn spawn(command: Command, death_signal: Signal, own_group: bool) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that starts programs has ended");
    let jobs = SPAWNER.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()))?;
    let (reply, answer) = mpsc::sync_channel(1);
    jobs.send(Job { command, death_signal, own_group, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn serve(queue: &mpsc::Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        let started = start(job.command, job.death_signal, job.own_group);
        if let Err(mpsc::SendError(Ok(mut orphan))) = job.reply.send(started) {
            // Nobody waits for it any more: end it here, or nobody ever does. Both fail only if it has
            // ended already.
            let _ = orphan.kill();
            let _ = orphan.wait();
        }
    }
}

fn start(mut command: Command, death_signal: Signal, own_group: bool) -> io::Result<Child> {
    if own_group {
        command.process_group(0);
    }
    let parent = getpid();
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls are
    // allowed: it makes two system calls through rustix and touches no allocator and no lock.
    unsafe { command.pre_exec(move || tie_to(parent, death_signal)) };
    command.spawn()
}

fn tie_to(parent: Pid, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    // If the parent died before the call above, no signal will ever come.
    if getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
}
