// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request to a disk in a file, as the steps that it takes.
//!
//! Most requests are one operation. Others are several, one after the other: what a read or write left over, the ranges of a
//! discard, zeroes where the file system can make no hole, the sync after a change that must be durable at once.

use std::io;

use libc::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE};

use super::uring::{Buffers, Operation};
use crate::blk::request::{Range, Ranges};

/// What is left to do after the operation that is under way.
pub enum Task {
    /// Nothing: reads, writes, flushes.
    Single,
    /// The ranges from this one on, and then a sync if it must be durable.
    Ranges(Box<RangesTask>),
}

/// A discard or a write of zeroes.
pub struct RangesTask {
    ranges: Ranges,
    next: usize,
    /// They must read as zeroes afterwards.
    zeroes: bool,
    durable: bool,
    /// The range that is being worked on, once the file system has refused to do it by itself: what is left of it.
    by_hand: Option<Range>,
}

/// What comes after an operation.
pub enum Step {
    /// This operation.
    Next(Operation),
    /// Nothing more.
    Finished(io::Result<()>),
}

impl Task {
    /// Begins a discard, or a write of zeroes.
    pub fn ranges(ranges: Ranges, zeroes: bool, durable: bool) -> (Self, Step) {
        let mut task = Box::new(RangesTask { ranges, next: 0, zeroes, durable, by_hand: None });
        let step = task.next_range();
        (Self::Ranges(task), step)
    }

    /// An operation has completed: what now?
    pub fn step(&mut self, operation: Operation, result: io::Result<u32>) -> Step {
        match (operation, result) {
            (operation, Err(e)) if e.kind() == io::ErrorKind::Interrupted => Step::Next(operation),
            (Operation::Read(..), Ok(0)) => Step::Finished(Err(io::ErrorKind::UnexpectedEof.into())),
            (Operation::Write(..), Ok(0)) => Step::Finished(Err(io::ErrorKind::WriteZero.into())),
            (Operation::Read(offset, mut buffers), Ok(n)) => {
                buffers.advance(n as usize);
                self.rest(buffers, |buffers| Operation::Read(offset + u64::from(n), buffers))
            }
            (Operation::Write(offset, mut buffers, durable), Ok(n)) => {
                buffers.advance(n as usize);
                self.rest(buffers, |buffers| Operation::Write(offset + u64::from(n), buffers, durable))
            }
            (Operation::Allocate(_, offset, len), result) => self.allocated(offset, len, result),
            (Operation::Sync, result) => Step::Finished(result.map(drop)),
            (_, Err(e)) => Step::Finished(Err(e)),
        }
    }

    fn rest(&mut self, buffers: Buffers, operation: impl FnOnce(Buffers) -> Operation) -> Step {
        if buffers.len() > 0 {
            return Step::Next(operation(buffers));
        }
        match self {
            Self::Single => Step::Finished(Ok(())),
            Self::Ranges(task) => task.next_range(),
        }
    }

    fn allocated(&mut self, offset: u64, len: u64, result: io::Result<u32>) -> Step {
        let Self::Ranges(task) = self else { return Step::Finished(result.map(drop)) };
        match result {
            Ok(_) => task.next_range(),
            // What is not needed any more may stay.
            Err(e) if unsupported(&e) && !task.zeroes => task.next_range(),
            Err(e) if unsupported(&e) => {
                task.by_hand = Some(Range { offset, len, unmap: false });
                task.next_range()
            }
            Err(e) => Step::Finished(Err(e)),
        }
    }
}

impl RangesTask {
    fn next_range(&mut self) -> Step {
        if let Some(left) = &mut self.by_hand {
            let buffers = Buffers::zeroes(left.len);
            let (offset, len) = (left.offset, buffers.len());
            if len > 0 {
                (left.offset, left.len) = (offset + len, left.len - len);
                return Step::Next(Operation::Write(offset, buffers, false));
            }
            self.by_hand = None;
        }
        while let Some(range) = self.ranges.get(self.next) {
            self.next += 1;
            if range.len > 0 {
                let hole = !self.zeroes || range.unmap;
                let how = if hole { FALLOC_FL_PUNCH_HOLE } else { FALLOC_FL_ZERO_RANGE };
                return Step::Next(Operation::Allocate(how | FALLOC_FL_KEEP_SIZE, range.offset, range.len));
            }
        }
        if std::mem::take(&mut self.durable) { Step::Next(Operation::Sync) } else { Step::Finished(Ok(())) }
    }
}

fn unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL))
}
