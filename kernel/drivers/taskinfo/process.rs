// SPDX-License-Identifier: GPL-2.0

//! `/proc/taskinfo/process`: all about one process.

use kernel::{fmt, fs::File, prelude::*, task::Task, uaccess::UserSliceReader};
use kit::{
    proc::sequence::{Cursor, Sequence},
    task::{Facts, Ids, Memory, Name, Reader, State},
};

use crate::Question;

const NANOSECONDS: u64 = 1_000_000_000;

/// What is behind the entry: nothing, as all is asked of the kernel.
pub(crate) struct Process;

/// The list's only element: what was found out when a `read()` began.
pub(crate) struct Answer {
    name: Name,
    state: State,
    parent: i32,
    threads: i32,
    ids: Ids,
    memory: Option<Memory>,
    started: u64,
    open_files: Option<u32>,
}

impl Answer {
    fn new(task: &Task, reader: &Reader) -> Self {
        Self {
            name: task.name(),
            state: task.state(),
            parent: task.parent(reader),
            threads: task.threads(),
            ids: task.ids(reader),
            memory: task.memory(),
            started: task.started(),
            open_files: task.open_files(),
        }
    }
}

#[vtable]
impl Sequence for Process {
    type Opened = Question;
    type Cursor<'a> = Answer;

    fn open(&self, file: &File) -> impl PinInit<Question, Error> {
        Question::new(file)
    }

    fn start(&self, question: Pin<&Question>, position: u64) -> Result<Option<Answer>> {
        if position > 0 {
            return Ok(None);
        }
        let process = question.about()?.process().ok_or(ESRCH)?;
        Ok(Some(Answer::new(&process, &question.reader)))
    }

    fn write(&self, _: &File, question: Pin<&Question>, from: &mut UserSliceReader) -> Result {
        question.ask(from)
    }
}

impl Cursor for Answer {
    fn position(&self) -> u64 {
        0
    }

    fn advance(&mut self) -> bool {
        false
    }

    /// One line for each fact. What a process that has ended has no more is left out.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("name: {}\n", self.name))?;
        f.write_fmt(fmt!("state: {}\n", self.state))?;
        writeln!(f, "parent: {}", self.parent)?;
        writeln!(f, "threads: {}", self.threads)?;
        let Ids {
            uid,
            euid,
            gid,
            egid,
        } = self.ids;
        writeln!(f, "uid: {uid} (effective {euid})")?;
        writeln!(f, "gid: {gid} (effective {egid})")?;
        if let Some(Memory { mapped, resident }) = self.memory {
            writeln!(f, "mapped: {} KiB", mapped / 1024)?;
            writeln!(f, "resident: {} KiB", resident / 1024)?;
        }
        let (seconds, rest) = (self.started / NANOSECONDS, self.started % NANOSECONDS);
        writeln!(f, "started: {seconds}.{rest:09} s after boot")?;
        if let Some(count) = self.open_files {
            writeln!(f, "open files: {count}")?;
        }
        Ok(())
    }
}
