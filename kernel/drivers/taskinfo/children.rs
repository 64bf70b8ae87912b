// SPDX-License-Identifier: GPL-2.0

//! `/proc/taskinfo/children`: the children of a process.
//!
//! A line's position is the child's number. So children may come and go between two reads: one that
//! is there all the time is listed once.

use kernel::{fmt, fs::File, prelude::*, sync::aref::ARef, task::Task, uaccess::UserSliceReader};
use kit::{
    proc::sequence::{Cursor, Sequence},
    task::{process_from, Facts, Pid, Reader},
};

use crate::Question;

/// What is behind the entry: nothing, as all is asked of the kernel.
pub(crate) struct Children;

/// A child.
pub(crate) struct Child<'a> {
    parent: Pid,
    reader: &'a Reader,
    number: i32,
    task: ARef<Task>,
}

#[vtable]
impl Sequence for Children {
    type Opened = Question;
    type Cursor<'a> = Child<'a>;

    fn open(&self, file: &File) -> impl PinInit<Question, Error> {
        Question::new(file)
    }

    fn start<'a>(
        &'a self,
        question: Pin<&'a Question>,
        position: u64,
    ) -> Result<Option<Child<'a>>> {
        let (reader, parent) = (&question.get_ref().reader, question.about()?);
        if position == 0 && parent.process().is_none() {
            return Err(ESRCH);
        }
        let Ok(from) = i32::try_from(position) else {
            return Ok(None);
        };
        Ok(
            child_from(from, &parent, reader).map(|(number, task)| Child {
                parent,
                reader,
                number,
                task,
            }),
        )
    }

    fn write(&self, _: &File, question: Pin<&Question>, from: &mut UserSliceReader) -> Result {
        question.ask(from)
    }
}

impl Cursor for Child<'_> {
    fn position(&self) -> u64 {
        self.number as u64
    }

    fn advance(&mut self) -> bool {
        let from = self.number.saturating_add(1);
        let next = child_from(from, &self.parent, self.reader);
        let found = next.is_some();
        if let Some((number, task)) = next {
            (self.number, self.task) = (number, task);
        }
        found
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, state) = (self.task.name(), self.task.state());
        f.write_fmt(fmt!("{} {} {}\n", self.number, name, state))
    }
}

/// The child with the smallest number from `from` on.
fn child_from(mut from: i32, parent: &Pid, reader: &Reader) -> Option<(i32, ARef<Task>)> {
    loop {
        let (number, task) = process_from(from, &reader.namespace)?;
        if parent.is_parent_of(&task) {
            return Some((number, task));
        }
        from = number.checked_add(1)?;
    }
}
