// SPDX-License-Identifier: MIT OR Apache-2.0
//! A command: its own session, its streams apart, its end told exactly.
//!
//! The command's output is complete when it has exited and its pipes are drained of what is in them then. A
//! process that it left in the background with the same pipes does not keep it waiting.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use blockyard_proto::link::Control;
use blockyard_proto::{Channel, Exec, MAX_DATA, Outcome, Stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::group::Group;
use super::thread;
use crate::error::{Context, Error};
use crate::reaper::{self, End};

/// What a shell says of a command that it cannot find, and of one that it cannot run.
const NOT_FOUND: i32 = 127;
const NOT_RUNNABLE: i32 = 126;

/// Runs the command to its end.
pub fn run(stream: &Arc<Stream>, exec: &Exec, group: &Group) -> Result<Outcome, Error> {
    let Some(program) = exec.argv.first() else {
        return Err(Error::other("cannot run a command", "it has no words"));
    };
    let name = String::from_utf8_lossy(program).into_owned();
    let (mut child, pid) = match reaper::spawn(&mut command(exec, group)) {
        Ok(started) => started,
        Err(e) => return not_started(stream, &name, &e),
    };
    stream.on_control(move |control| obey(pid, control));
    let what = || format!("cannot follow {name}");
    let out = pump(stream, Channel::Out, child.stdout.take().map(OwnedFd::from), pid).context(what)?;
    let err = pump(stream, Channel::Err, child.stderr.take().map(OwnedFd::from), pid).context(what)?;
    if let Some(stdin) = child.stdin.take() {
        let stream = stream.clone();
        thread("stdin", move || feed(&stream, File::from(OwnedFd::from(stdin))))?;
    }
    let end = reaper::wait_for(pid);
    for pump in [out, err].into_iter().flatten() {
        // It has said on the console why it panicked.
        let _ = pump.join();
    }
    Ok(match end {
        End::Exited(code) => Outcome::Exited(code),
        End::Killed(signal) => Outcome::Killed(signal),
    })
}

fn command(exec: &Exec, group: &Group) -> Command {
    let words: Vec<&OsStr> = exec.argv.iter().map(|word| OsStr::from_bytes(word)).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    environment(&mut command, "dumb");
    command.envs(exec.env.iter().map(|(k, v)| (k, v)));
    command.current_dir(if exec.dir.is_empty() { "/root" } else { &exec.dir });
    let door = group.door();
    // SAFETY: between fork and exec the closure makes two system calls through rustix on memory and a
    // descriptor that it owns; it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            if let Some(door) = &door {
                rustix::io::write(door, b"0")?;
            }
            Ok(())
        });
    }
    command
}

/// What every command finds: nothing of the kernel's command line, a path, a home.
pub fn environment(command: &mut Command, terminal: &str) {
    command.env_clear();
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs([("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/bash")]);
    command.envs([("LANG", "C.UTF-8"), ("TERM", terminal)]);
}

/// As a shell would put it, on the command's standard error.
fn not_started(stream: &Stream, name: &str, cause: &io::Error) -> Result<Outcome, Error> {
    let (code, why) = match cause.kind() {
        io::ErrorKind::NotFound => (NOT_FOUND, "command not found".into()),
        _ => (NOT_RUNNABLE, cause.to_string()),
    };
    // A lab that has left reads no message.
    let _ = stream.write(Channel::Err, format!("{name}: {why}\n").as_bytes());
    Ok(Outcome::Exited(code))
}

fn obey(pid: Pid, control: Control) {
    match control {
        Control::Signal(number) => {
            // The lab checks the number; one that has no name is not sent.
            if let Some(signal) = Signal::from_named_raw(number) {
                reaper::signal_group(pid, signal);
            }
        }
        Control::Cancel => reaper::signal_group(pid, Signal::KILL),
        Control::Resize { .. } => {}
    }
}

/// Sends what the command writes.
fn pump(
    stream: &Arc<Stream>,
    channel: Channel,
    pipe: Option<OwnedFd>,
    pid: Pid,
) -> io::Result<Option<JoinHandle<()>>> {
    let Some(pipe) = pipe else { return Ok(None) };
    // None once the command has ended and been collected: then only what is in the pipe is left.
    let alive = pidfd_open(pid, PidfdFlags::empty()).ok();
    let stream = stream.clone();
    let builder = std::thread::Builder::new().name("output".into()).stack_size(128 * 1024);
    let body = move || {
        // Ends early when the lab has left: nobody wants the rest.
        let _ = copy_out(&stream, channel, &File::from(pipe), alive.as_ref());
        let _ = stream.end(channel);
    };
    builder.spawn(body).map(Some)
}

fn copy_out(stream: &Stream, channel: Channel, mut pipe: &File, alive: Option<&OwnedFd>) -> io::Result<()> {
    let mut buffer = vec![0; MAX_DATA];
    loop {
        if !readable(pipe, alive)? {
            return Ok(());
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => stream.write(channel, &buffer[..n]).map_err(io::Error::other)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Waits until there is something to read (or the end of it): true. False when the command has ended and the
/// pipe is empty.
fn readable(pipe: &File, alive: Option<&OwnedFd>) -> io::Result<bool> {
    let mut fds = vec![PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    let nothing = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    fds.extend(alive.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
    let limit = alive.is_none().then_some(&nothing);
    loop {
        match poll(&mut fds, limit) {
            Ok(_) if !fds[0].revents().is_empty() => return Ok(true),
            Ok(_) => {
                // The command may have written between the two looks of the poll, just before it ended.
                return match poll(&mut fds[..1], Some(&nothing)) {
                    Ok(n) => Ok(n > 0),
                    Err(e) => Err(e.into()),
                };
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Feeds the command's standard input. A command that reads no more gets no more: the rest is dropped, so that
/// the lab can send it.
fn feed(stream: &Stream, mut stdin: File) {
    while let Ok(Some(bytes)) = stream.read(Channel::In) {
        if stdin.write_all(&bytes).is_err() {
            drop(stdin);
            while let Ok(Some(_)) = stream.read(Channel::In) {}
            return;
        }
    }
}
