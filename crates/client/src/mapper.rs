// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program's part in each I/O of one disk: an open file that is registered as the disk's mapper.
//!
//! The driver binds the part to the open file, so that the end of the program is the end of the part. One request
//! at a time is lent out here; the driver would take answers in any order.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use blockyard_abi::simblk as abi;
use rustix::io::Errno;

use crate::control::{Control, Info, of_disk};
use crate::error::{Error, Result};
use crate::sys;

/// The mapper of a disk. Dropping it unregisters: what is held goes on with the identity mapping.
#[derive(Debug)]
pub struct Mapper {
    file: File,
    info: Info,
}

/// A request that the driver holds until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Its id, never 0.
    pub id: u64,
    /// Bytes that it moves.
    pub bytes: u64,
    /// Entries of its map: logical pages that it touches.
    pub entries: u32,
}

/// How long to wait for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until one comes, or a signal.
    Forever,
    /// At most this many milliseconds.
    Millis(u32),
}

/// How an answered request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The data was moved.
    Done,
    /// The answer was right, but the data could not be moved: over the memory cap, or out of memory. Holds the
    /// error number that the request ended with.
    Failed(i32),
}

impl Mapper {
    /// Becomes the mapper of a disk.
    ///
    /// # Errors
    /// [`Error::Taken`] if it has one, [`Error::NoSuchDisk`], [`Error::Permission`], [`Error::NotLoaded`].
    pub fn register(index: u32) -> Result<Self> {
        let control = Control::open()?;
        let info = control.info(index)?;
        let file = control.into_file();
        match sys::plain(file.as_fd(), abi::REGISTER, abi::Register { index, reserved: 0 }) {
            Ok(()) => Ok(Self { file, info }),
            Err(Errno::BUSY) => Err(Error::Taken { index }),
            Err(errno) => Err(of_disk(index, format!("register as the mapper of simblk{index}"), errno)),
        }
    }

    /// The disk, as it was when this mapper registered.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Pages of the disk: as many logical as physical ones.
    pub fn pages(&self) -> u64 {
        self.info.pages()
    }

    /// The oldest request that the driver holds; waits for one. `None` if none came in time.
    ///
    /// # Errors
    /// [`Error::Interrupted`] by a signal; [`Error::Lapsed`] if an answer was not there in time, which ends the registration;
    /// [`Error::DiskGone`].
    pub fn next_request(&mut self, wait: Wait) -> Result<Option<Request>> {
        let timeout_ms = match wait {
            Wait::Forever => abi::WAIT_FOREVER,
            Wait::Millis(millis) => millis.min(abi::WAIT_FOREVER - 1),
        };
        let next = abi::ReqSize { after: 0, id: 0, bytes: 0, timeout_ms, entries: 0 };
        match sys::plain(self.fd(), abi::REQ_SIZE, next) {
            Ok(next) => Ok(Some(Request { id: next.id, bytes: next.bytes, entries: next.entries })),
            Err(Errno::AGAIN | Errno::TIMEDOUT) => Ok(None),
            Err(Errno::INTR) => Err(Error::Interrupted),
            Err(errno) => Err(self.error("the registration", "wait for a request", errno)),
        }
    }

    /// The map of a request: one entry per logical page that it touches.
    ///
    /// # Errors
    /// [`Error::Lapsed`] if the request is not held any more, [`Error::DiskGone`].
    pub fn map(&self, request: &Request) -> Result<Vec<abi::MapEntry>> {
        let mut entries = vec![abi::MapEntry::default(); request.entries as usize];
        let what = format!("request {}", request.id);
        let told = sys::get_blk(self.fd(), request.id, &mut entries)
            .map_err(|errno| self.error(&what, "fetch the map of a request", errno))?;
        entries.truncate(told as usize);
        Ok(entries)
    }

    /// Answers a request; the driver moves the data. A refused answer changes nothing and may be given again.
    ///
    /// # Errors
    /// [`Error::Refused`] for a wrong answer, [`Error::Lapsed`] if the request is not held any more,
    /// [`Error::DiskGone`].
    pub fn answer(&mut self, request: &Request, answers: &[abi::MapAnswer]) -> Result<Outcome> {
        let what = format!("request {}", request.id);
        match sys::set_blk(self.fd(), request.id, answers) {
            Ok(0) => Ok(Outcome::Done),
            Ok(number) => Ok(Outcome::Failed(i32::try_from(number).unwrap_or(i32::MAX))),
            Err(Errno::INVAL) => Err(Error::Refused {
                doing: format!("take the answer to {what}"),
                why: "each logical page needs one entry, in order, with pages of the disk, and no new page twice"
                    .into(),
            }),
            Err(errno) => Err(self.error(&what, "answer a request", errno)),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn error(&self, what: &str, doing: &str, errno: Errno) -> Error {
        let index = self.info.index;
        match errno {
            Errno::STALE => Error::Lapsed { what: what.into() },
            Errno::NODEV => Error::DiskGone { index },
            _ => Error::system(format!("{doing} of simblk{index}"), errno),
        }
    }
}
