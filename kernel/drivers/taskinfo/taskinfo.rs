// SPDX-License-Identifier: GPL-2.0

//! `taskinfo`: what the kernel knows of a process, for whoever asks.
//!
//! | entry | write | then read from the same open file |
//! |---|---|---|
//! | `/proc/taskinfo/process` | a process's number | name, state, parent, threads, users, memory, ... |
//! | `/proc/taskinfo/children` | a process's number | its children, one line each |
//! | `/proc/taskinfo/signal` | a process's number and a signal's | - |
//!
//! A process that is gone gets `ESRCH`, when its number is written and also when it is read of
//! later; reading before anything was written gets `ENODATA`, and what is no number `EINVAL`.
//! Sending a signal needs `CAP_KILL` (else `EPERM`).
//!
//! Each open file has an answer of its own, so that two programs do not get each other's. This could
//! be a character device as well; it is in /proc because that is where one looks for processes, and
//! as there is no device. Everybody may ask: nothing is told that `/proc/PID` does not tell
//! everybody. Numbers of processes and users are those of the namespaces of whoever opened the file.
//!
//! An open file remembers a process by its identity, which keeps nothing of it and is never that of
//! another one; the process itself is only held for the time of one `read()`.

#![deny(unsafe_code)]

mod children;
mod process;
mod signal;

use kernel::{fs::File, new_mutex, prelude::*, sync::Mutex, uaccess::UserSliceReader};
use kit::{
    errno::ENODATA,
    proc::{Dir, Entry},
    task::{Pid, Reader},
    text,
};

use crate::{children::Children, process::Process, signal::Signal};

module! {
    type: TaskInfo,
    name: "taskinfo",
    authors: ["Blockyard developers"],
    description: "What the kernel knows of a process",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// The loaded module: dropping it removes the entries, and with the last of them the folder.
struct TaskInfo {
    _process: Entry<Process>,
    _children: Entry<Children>,
    _signal: Entry<Signal>,
}

impl kernel::Module for TaskInfo {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let dir = Dir::new(c"taskinfo")?;
        Ok(Self {
            _process: Entry::sequence(Some(&dir), c"process", 0o666, Ok(Process))?,
            _children: Entry::sequence(Some(&dir), c"children", 0o666, Ok(Children))?,
            _signal: Entry::file(Some(&dir), c"signal", 0o222, Ok(Signal))?,
        })
    }
}

/// What an open file has for itself: who asks, and about whom.
#[pin_data]
struct Question {
    reader: Reader,
    #[pin]
    about: Mutex<Option<Pid>>,
}

impl Question {
    fn new(file: &File) -> impl PinInit<Self, Error> + use<> {
        let reader = Reader::opener(file);
        pin_init::pin_init_scope(move || {
            let reader = reader?;
            Ok(try_pin_init!(Self {
                reader,
                about <- new_mutex!(None),
            }))
        })
    }

    /// Takes a process's number.
    fn ask(&self, from: &mut UserSliceReader) -> Result {
        let pid = find(text::read_number(from)?, &self.reader)?;
        *self.about.lock() = Some(pid);
        Ok(())
    }

    /// Whom it is about.
    fn about(&self) -> Result<Pid> {
        self.about.lock().clone().ok_or(ENODATA)
    }
}

/// The process with this number.
fn find(number: i32, reader: &Reader) -> Result<Pid> {
    if number <= 0 {
        return Err(EINVAL);
    }
    Pid::find(number, &reader.namespace).ok_or(ESRCH)
}
