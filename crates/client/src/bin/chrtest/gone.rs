// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for something of a device that goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread::ScopedJoinHandle;

use rustix::event::{PollFd, PollFlags};
use rustix::thread::{Pid, gettid};

use crate::outcome;
use crate::waiting::until_in_system_call;

/// Reads, polls and, if `write`, writes until there is an error, each in a thread; prints `waiting` once all of them
/// wait, and how each ended.
pub(crate) fn wait(device: &Path, write: bool) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(device);
    // Not every device can be written.
    let file = file.or_else(|_| File::open(device))?;
    std::thread::scope(|scope| {
        let (sender, threads) = mpsc::channel();
        let file = &file;
        let mut waits = vec![("read", spawn(scope, &sender, move || reading(file)))];
        waits.push(("poll", spawn(scope, &sender, move || polling(file))));
        if write {
            waits.push(("write", spawn(scope, &sender, move || writing(file))));
        }
        let calls = [libc::SYS_read, libc::SYS_write, libc::SYS_poll, libc::SYS_ppoll];
        for thread in threads.iter().take(waits.len()) {
            until_in_system_call(thread.as_raw_nonzero().get(), &calls)?;
        }
        println!("waiting");
        for (what, wait) in waits {
            let ended = wait.join().map_err(|_| io::Error::other("a thread panicked"))?;
            println!("{what}: {ended}");
        }
        let mut again = file;
        println!("then: {}", outcome(again.read(&mut [0]).map(drop)));
        Ok(())
    })
}

fn spawn<'s>(
    scope: &'s std::thread::Scope<'s, '_>,
    sender: &Sender<Pid>,
    what: impl FnOnce() -> String + Send + 's,
) -> ScopedJoinHandle<'s, String> {
    let sender = sender.clone();
    scope.spawn(move || {
        // The other end waits for it.
        let _ = sender.send(gettid());
        what()
    })
}

/// Reads until that fails.
fn reading(mut file: &File) -> String {
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return "the end".into(),
            Ok(_) => {}
            Err(error) => return outcome(Err(error)),
        }
    }
}

/// Writes until that fails; each write is a device's whole buffer, so that it comes to wait.
fn writing(mut file: &File) -> String {
    let buffer = vec![0x55; 64 << 10];
    loop {
        if let Err(error) = file.write(&buffer) {
            return outcome(Err(error));
        }
    }
}

/// Polls for something to read.
fn polling(file: &File) -> String {
    let mut polled = [PollFd::new(file, PollFlags::IN)];
    match rustix::event::poll(&mut polled, None) {
        Ok(_) => format!("{:?}", polled[0].revents()),
        Err(error) => outcome(Err(error.into())),
    }
}
