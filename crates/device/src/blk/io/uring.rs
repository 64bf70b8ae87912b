// SPDX-License-Identifier: MIT OR Apache-2.0
//! `io_uring` over one file, with the one thing that it leaves to its user: buffers live until the kernel is done.
//!
//! Whoever starts an operation hands over all that it reads or writes, and gets it back with the result. Nothing else can be
//! dropped in between; a ring that is dropped first waits for what it has under way.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{IoUring, opcode, squeue, types};

use crate::MemoryHold;

/// The file, as the first and only one that is registered with the ring.
const FILE: types::Fixed = types::Fixed(0);

/// Buffers of an operation.
pub struct Buffers {
    list: Vec<libc::iovec>,
    /// Keeps what the list points into where it is: the guest's memory, or nothing for bytes that live as long as the process.
    _hold: Option<MemoryHold>,
}

// SAFETY: the pointers of the list are to memory that `_hold` keeps mapped, or that is never freed (see `Buffers::guest` and
// `Buffers::zeroes`), whichever thread drops it; they are only ever handed to the kernel, and nothing is read or written
// through them here.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Pieces of guest memory, kept mapped by `hold`.
    pub fn guest<'m>(pieces: impl Iterator<Item = crate::chain::Piece<'m>>, hold: MemoryHold) -> Self {
        let list = pieces
            .map(|piece| libc::iovec {
                iov_base: piece.slice.ptr_guard_mut().as_ptr().cast(),
                iov_len: piece.slice.len(),
            })
            .collect();
        Self { list, _hold: Some(hold) }
    }

    /// At most `len` zeroes, to be read from.
    pub fn zeroes(len: u64) -> Self {
        static ZEROES: [u8; 65536] = [0; 65536];
        let list = (0..16)
            .map(|i| len.saturating_sub(i * 65536).min(65536) as usize)
            .take_while(|len| *len > 0)
            .map(|iov_len| libc::iovec { iov_base: ZEROES.as_ptr().cast_mut().cast(), iov_len })
            .collect();
        Self { list, _hold: None }
    }

    /// How many bytes they are.
    pub fn len(&self) -> u64 {
        self.list.iter().map(|buffer| buffer.iov_len as u64).sum()
    }

    /// Leaves out the first `n` bytes.
    pub fn advance(&mut self, mut n: usize) {
        let whole = self.list.iter().take_while(|buffer| {
            let all = n >= buffer.iov_len;
            n -= if all { buffer.iov_len } else { 0 };
            all
        });
        let whole = whole.count();
        self.list.drain(..whole);
        if let Some(first) = self.list.first_mut() {
            // `n` is less than its length, or it would have been left out whole.
            first.iov_base = first.iov_base.wrapping_byte_add(n);
            first.iov_len -= n;
        }
    }
}

/// What can be done with the file.
pub enum Operation {
    /// Read from this byte on.
    Read(u64, Buffers),
    /// Write from this byte on; durable when it completes, if so.
    Write(u64, Buffers, bool),
    /// `fallocate` with this mode.
    Allocate(i32, u64, u64),
    /// `fdatasync`.
    Sync,
}

impl Operation {
    fn entry(&self) -> squeue::Entry {
        match self {
            Self::Read(offset, buffers) => {
                opcode::Readv::new(FILE, buffers.list.as_ptr(), buffers.list.len() as u32)
                    .offset(*offset)
                    .build()
            }
            Self::Write(offset, buffers, durable) => {
                opcode::Writev::new(FILE, buffers.list.as_ptr(), buffers.list.len() as u32)
                    .offset(*offset)
                    .rw_flags(if *durable { libc::RWF_DSYNC } else { 0 })
                    .build()
            }
            Self::Allocate(mode, offset, len) => {
                opcode::Fallocate::new(FILE, *len).offset(*offset).mode(*mode).build()
            }
            Self::Sync => opcode::Fsync::new(FILE).flags(types::FsyncFlags::DATASYNC).build(),
        }
    }
}

/// A ring, and what it has under way: each operation with something of its owner's.
///
/// # Invariants
///
/// An entry that was pushed has its slot's number as user data, and the slot holds its operation from before the push
/// until its completion has been taken.
pub struct Uring<T> {
    ring: IoUring,
    slots: Vec<Option<(Operation, T)>>,
    free: Vec<usize>,
    _file: Arc<File>,
}

impl<T> Uring<T> {
    /// A ring for up to `entries` operations at a time on this file, which signals `event` when one completes.
    pub fn new(file: Arc<File>, entries: u32, event: &impl AsRawFd) -> io::Result<Self> {
        let ring = IoUring::new(entries)?;
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        Ok(Self { ring, slots: Vec::new(), free: Vec::new(), _file: file })
    }

    /// How many operations are under way.
    pub fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Begins an operation. It may wait for [`submit`](Self::submit) in the ring.
    pub fn start(&mut self, operation: Operation, owner: T) -> io::Result<()> {
        if self.ring.submission().is_full() {
            self.submit()?;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let (operation, _) = self.slots[slot].insert((operation, owner));
        let entry = operation.entry().user_data(slot as u64);
        // SAFETY: the entry points to the list of buffers of the operation, which is on the heap and does not move with the
        // slot, and the list to the buffers that the operation owns. By the invariant of this type the operation stays
        // in its slot until the completion is taken; `Drop` waits for all completions before it lets go of the slots.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|_| {
            self.slots[slot] = None;
            self.free.push(slot);
            io::Error::other("the submission queue is full")
        })
    }

    /// Hands what was started to the kernel. Some of it may be complete when this returns.
    pub fn submit(&mut self) -> io::Result<()> {
        if self.ring.submission().is_empty() {
            return Ok(());
        }
        retry(|| self.ring.submit())
    }

    /// The next operation that has completed, with its result.
    pub fn completed(&mut self) -> Option<(Operation, T, io::Result<u32>)> {
        let entry = self.ring.completion().next()?;
        let slot = entry.user_data() as usize;
        let (operation, owner) = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        let result = entry.result();
        let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Some((operation, owner, result))
    }

    /// Waits until one more has completed.
    pub fn wait(&self) -> io::Result<()> {
        retry(|| self.ring.submit_and_wait(1))
    }
}

fn retry(mut submit: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match submit() {
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

impl<T> Drop for Uring<T> {
    fn drop(&mut self) {
        while self.under_way() > 0 {
            while self.completed().is_some() {}
            if self.under_way() > 0
                && let Err(error) = self.wait()
            {
                // Without completions nobody knows what the kernel still writes to: what is under way is never freed.
                tracing::error!(%error, "cannot wait for io_uring");
                std::mem::forget(std::mem::take(&mut self.slots));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_left_out_by_bytes() {
        let mut buffers = Buffers::zeroes(65536 * 2 + 10);
        assert_eq!(buffers.list.len(), 3);
        buffers.advance(65536 + 6);
        assert_eq!((buffers.len(), buffers.list.len()), (65536 + 4, 2));
        buffers.advance(65536 - 6);
        assert_eq!((buffers.len(), buffers.list.len()), (10, 1));
        buffers.advance(10);
        assert_eq!((buffers.len(), buffers.list.len()), (0, 0));
    }

    #[test]
    fn zeroes_have_a_limit() {
        assert_eq!(Buffers::zeroes(u64::MAX).len(), 1 << 20);
        assert_eq!(Buffers::zeroes(0).len(), 0);
    }
}
