// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk in a file: requests go to the kernel by `io_uring`, right from and to the guest's memory, and come back when they do.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, FlockOperation, flock, fstat};
use vm_memory::{Bytes, GuestAddress};

use super::Common;
use super::task::{Step, Task};
use super::uring::{Buffers, Operation, Uring};
use crate::MemoryHold;
use crate::blk::Disk;
use crate::blk::request::{self, Parsed, Request, Status};
use crate::chain::Chain;
use crate::device::{Answer, Handler, Waker};
use crate::error::{Error, Result};
use crate::queue::{Finished, Ticket};

/// How long a lock may outlive its process, on a machine that is busy.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The file, which is this disk's alone.
#[derive(Debug)]
pub struct Backing {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    queue_size: u16,
}

impl Backing {
    /// Opens and locks it.
    pub fn open(path: &Path, disk: &Disk) -> Result<Self> {
        let what = |reason: &str| format!("the disk in {} {reason}", path.display());
        let file = OpenOptions::new().read(true).write(!disk.read_only).open(path);
        let mut file = file.map_err(Error::backing(what("cannot be opened")))?;
        let kind = fstat(&file).map_err(|e| Error::backing(what("cannot be examined"))(e.into()))?;
        if !matches!(FileType::from_raw_mode(kind.st_mode), FileType::RegularFile | FileType::BlockDevice) {
            let reason = io::Error::other("it is neither a file nor a block device");
            return Err(Error::backing(what("cannot be used"))(reason));
        }
        lock(&file, disk.read_only).map_err(Error::backing(what("is in use by another process")))?;
        let size = file.seek(SeekFrom::End(0)).map_err(Error::backing(what("has no size")))?;
        let block = u64::from(disk.block_size);
        if size == 0 || !size.is_multiple_of(block) {
            let reason = io::Error::other(format!("it has {size} bytes, and a block has {block}"));
            return Err(Error::backing(what("is no whole number of blocks"))(reason));
        }
        let backing = Self { file: Arc::new(file), path: path.to_owned(), size, queue_size: disk.queue_size };
        // So that a machine without io_uring says so before a guest boots.
        backing.ring::<()>(&Waker::new()?)?;
        Ok(backing)
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn ring<T>(&self, waker: &Waker) -> Result<Uring<T>> {
        Uring::new(self.file.clone(), u32::from(self.queue_size), waker).map_err(Error::backing(format!(
            "cannot have io_uring, which the disk in {} needs (is it forbidden here? a disk with `size=` does without)",
            self.path.display()
        )))
    }
}

/// Locks the file. A backend that was killed holds its lock for a moment after its end, until the kernel has taken its
/// `io_uring` down; and having the lock means that no request of it is under way any more. So it is waited for, for a
/// while. The kernel tells nobody, but those who wait for ever, when a lock is free.
fn lock(file: &File, shared: bool) -> io::Result<()> {
    let how =
        if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match flock(file, how) {
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
            result => return Ok(result?),
        }
    }
}

/// A request that is under way.
struct UnderWay {
    ticket: Ticket,
    task: Task,
    kind: Kind,
    status: GuestAddress,
    hold: MemoryHold,
    room: u32,
}

/// What it is counted as.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Read(u64),
    Write(u64),
    Flush,
    Discard,
    WriteZeroes,
}

/// One queue of it.
pub struct FileQueue {
    ring: Uring<UnderWay>,
    common: Common,
}

impl FileQueue {
    pub(in crate::blk) fn new(backing: Arc<Backing>, common: Common, waker: &Waker) -> Result<Self> {
        Ok(Self { ring: backing.ring(waker)?, common })
    }

    fn begin(&self, request: &Request<'_>, hold: &MemoryHold) -> (Kind, Task, Step) {
        let durable = !self.common.state.has_write_cache();
        let single = |kind, operation| (kind, Task::Single, Step::Next(operation));
        match *request {
            // Nothing to do, and no operation that would do nothing.
            Request::Read(_, data) if data.is_empty() => {
                (Kind::Read(0), Task::Single, Step::Finished(Ok(())))
            }
            Request::Write(_, data) if data.is_empty() => {
                (Kind::Write(0), Task::Single, Step::Finished(Ok(())))
            }
            Request::Read(offset, data) => {
                let buffers = Buffers::guest(data.pieces(), hold.clone());
                single(Kind::Read(data.len() as u64), Operation::Read(offset, buffers))
            }
            Request::Write(offset, data) => {
                let buffers = Buffers::guest(data.pieces(), hold.clone());
                single(Kind::Write(data.len() as u64), Operation::Write(offset, buffers, durable))
            }
            Request::Flush => single(Kind::Flush, Operation::Sync),
            Request::Discard(ranges) => {
                let (task, step) = Task::ranges(ranges, false, durable);
                (Kind::Discard, task, step)
            }
            Request::WriteZeroes(ranges) => {
                let (task, step) = Task::ranges(ranges, true, durable);
                (Kind::WriteZeroes, task, step)
            }
            Request::Id(data) => {
                self.common.write_id(data);
                (Kind::Read(0), Task::Single, Step::Finished(Ok(())))
            }
        }
    }

    /// Goes on with a request. If nothing is left to do, gives its ticket and what to tell of it.
    fn advance(&mut self, under_way: UnderWay, step: Step) -> Option<(Ticket, u32)> {
        let UnderWay { ticket, kind, status, room, .. } = under_way;
        let hold = under_way.hold.clone();
        let result = match step {
            Step::Finished(result) => result,
            Step::Next(operation) => match self.ring.start(operation, under_way) {
                Ok(()) => return None,
                Err(error) => Err(error),
            },
        };
        let outcome = match result {
            Ok(()) => {
                self.count(kind);
                Status::Ok
            }
            Err(error) => self.common.failed(&format!("{kind:?}"), &error),
        };
        if let Err(error) = hold.write_obj(outcome as u8, status) {
            // It was there when the request was parsed, and what is held stays mapped.
            tracing::error!(%error, "a status could not be written");
        }
        Some((ticket, room))
    }

    fn count(&self, kind: Kind) {
        let counters = self.common.counters();
        match kind {
            Kind::Read(0) => {}
            Kind::Read(bytes) => {
                counters.reads.add(1);
                counters.bytes_read.add(bytes);
            }
            Kind::Write(bytes) => {
                counters.writes.add(1);
                counters.bytes_written.add(bytes);
            }
            Kind::Flush => counters.flushes.add(1),
            Kind::Discard => counters.discards.add(1),
            Kind::WriteZeroes => counters.write_zeroes.add(1),
        }
    }
}

impl Handler for FileQueue {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        let Some(Parsed { request, mut status, room }) = request::parse(chain, self.common.limits) else {
            return Answer::Broken("it has no room for a status");
        };
        let request = match request {
            Ok(request) => request,
            Err(refusal) => {
                status.write(&[self.common.refuse(chain, refusal) as u8]);
                return Answer::Done(room as u32);
            }
        };
        chain.note(|| request.describe());
        let Some(place) = status.pieces().next() else {
            return Answer::Broken("it has no room for a status");
        };
        let hold = chain.hold();
        let (kind, task, step) = self.begin(&request, &hold);
        let room = room as u32;
        let under_way = UnderWay { ticket: chain.ticket(), task, kind, status: place.address, hold, room };
        match self.advance(under_way, step) {
            Some((_, written)) => Answer::Done(written),
            None => Answer::Later,
        }
    }

    fn submit(&mut self) {
        if let Err(error) = self.ring.submit() {
            // What was not taken stays in the ring, and goes out with the next.
            tracing::error!(%error, "io_uring takes no requests");
        }
    }

    fn finished(&mut self, done: &mut Finished<'_>) {
        loop {
            let mut more = false;
            while let Some((operation, mut under_way, result)) = self.ring.completed() {
                let step = under_way.task.step(operation, result);
                match self.advance(under_way, step) {
                    Some((ticket, written)) => done.complete(ticket, written),
                    None => more = true,
                }
            }
            if !more {
                return;
            }
            self.submit();
        }
    }

    fn drain(&mut self, done: &mut Finished<'_>) {
        self.submit();
        self.finished(done);
        while self.ring.under_way() > 0 {
            if let Err(error) = self.ring.wait() {
                tracing::error!(%error, "cannot wait for io_uring");
                return;
            }
            self.finished(done);
        }
    }
}
