// SPDX-License-Identifier: GPL-2.0

//! A bio: one I/O, owned until it is completed.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use core::{mem::ManuallyDrop, ptr::NonNull};

use kernel::{bindings, prelude::*};

use super::{Segments, Status, SECTOR_SIZE};

/// What a bio asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Data from the disk.
    Read,
    /// Data to the disk, at least one byte. May ask for a flush before ([`Bio::preflush`]), or for
    /// its own data to be durable ([`Bio::fua`]).
    Write,
    /// No data: what was completed before must be durable. (The block layer sends an empty write
    /// with `REQ_PREFLUSH`.)
    Flush,
    /// The range is not needed any more.
    Discard,
    /// The range is to read as zeroes.
    WriteZeroes,
    /// Any other, by its number in `enum req_op`; only for drivers whose limits ask for more.
    Other(u32),
}

/// A bio that the driver owns.
///
/// Dropping it completes it with [`Status::Io`].
///
/// # Invariants
///
/// `raw` was handed to `submit_bio` of a disk of this kit, or to `map` of a target, has not been
/// completed, and belongs to this value alone. `started` is what `bio_start_io_acct()` returned for
/// it, if that was called.
#[must_use = "a bio that is dropped fails with an I/O error"]
pub struct Bio {
    raw: NonNull<bindings::bio>,
    started: Option<c_ulong>,
}

// SAFETY: A bio is not tied to the task that submitted it: it may be completed from any.
unsafe impl Send for Bio {}
// SAFETY: `&Bio` only reads fields that nobody changes while the bio is under way.
unsafe impl Sync for Bio {}

impl Bio {
    /// Takes a bio over, and begins its accounting.
    ///
    /// Accounting costs two calls per bio, some 150 instructions, and feeds `/proc/diskstats` and
    /// `iostat`. [`Limits::io_stat`](super::Limits::io_stat) says whether a disk begins with it,
    /// and `queue/iostats` turns it on and off; off leaves one load and one branch.
    ///
    /// # Safety
    ///
    /// `raw` must have been handed to `submit_bio`, and its ownership pass to this value.
    #[inline]
    pub(super) unsafe fn start(raw: NonNull<bindings::bio>) -> Self {
        // SAFETY: The caller's bio is valid, and so are its device and queue while it is under way.
        // The features may change meanwhile: one volatile load of a word, as C does.
        let features = unsafe {
            let queue = (*(*raw.as_ptr()).bi_bdev).bd_queue;
            (&raw const (*queue).limits.features).read_volatile()
        };
        let started = if features & super::limits::FEAT_IO_STAT != 0 {
            // SAFETY: The bio is valid and not accounted yet; `finish()` calls the counterpart.
            Some(unsafe { bindings::bio_start_io_acct(raw.as_ptr()) })
        } else {
            None
        };
        // INVARIANT: By the function's contract.
        Self { raw, started }
    }

    /// Takes over a bio that somebody else accounts for.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, with its completion the caller's to make, and its ownership pass to
    /// this value.
    #[inline(always)]
    pub(crate) unsafe fn adopt(raw: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the function's contract.
        Self { raw, started: None }
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut bindings::bio {
        self.raw.as_ptr()
    }

    #[inline(always)]
    pub(crate) fn as_non_null(&self) -> NonNull<bindings::bio> {
        self.raw
    }

    #[inline(always)]
    fn flags(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.raw.as_ptr()).bi_opf }
    }

    #[inline(always)]
    pub(crate) fn has(&self, flag: bindings::req_flag_bits) -> bool {
        self.flags() & (1 << flag) != 0
    }

    /// What is asked for.
    #[inline]
    pub fn op(&self) -> Op {
        const OP_MASK: u32 = (1 << bindings::REQ_OP_BITS) - 1;
        match self.flags() & OP_MASK {
            bindings::req_op_REQ_OP_READ => Op::Read,
            bindings::req_op_REQ_OP_WRITE if self.size() == 0 => Op::Flush,
            bindings::req_op_REQ_OP_WRITE => Op::Write,
            bindings::req_op_REQ_OP_FLUSH => Op::Flush,
            bindings::req_op_REQ_OP_DISCARD => Op::Discard,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Op::WriteZeroes,
            other => Op::Other(other),
        }
    }

    /// The first sector, counted from the beginning of the disk (not of a partition).
    #[inline]
    pub fn sector(&self) -> u64 {
        // SAFETY: By the type invariant; copied, as the struct is packed.
        unsafe { (*self.raw.as_ptr()).bi_iter.bi_sector }
    }

    /// The first byte, counted from the beginning of the disk.
    #[inline]
    pub fn position(&self) -> u64 {
        self.sector() * SECTOR_SIZE
    }

    /// Bytes of the range. A discard and a write of zeroes have a range without data.
    #[inline]
    pub fn size(&self) -> u32 {
        // SAFETY: As in `sector()`.
        unsafe { (*self.raw.as_ptr()).bi_iter.bi_size }
    }

    /// Whether the data must be durable when this write completes.
    pub fn fua(&self) -> bool {
        self.has(bindings::req_flag_bits___REQ_FUA)
    }

    /// Whether what was completed before must be durable before this is done.
    pub fn preflush(&self) -> bool {
        self.has(bindings::req_flag_bits___REQ_PREFLUSH)
    }

    /// Whether the submitter must not be kept waiting; then the bio fails with [`Status::Again`]
    /// instead.
    #[inline]
    pub fn nowait(&self) -> bool {
        self.has(bindings::req_flag_bits___REQ_NOWAIT)
    }

    /// Whether zeroes must be written in place, and no memory given back.
    pub fn keep_allocated(&self) -> bool {
        self.has(bindings::req_flag_bits___REQ_NOUNMAP)
    }

    /// The memory that is read into or written from. Empty unless the operation is a read or a
    /// write.
    #[inline]
    pub fn segments(&self) -> Segments<'_> {
        let op = self.op();
        match op {
            // SAFETY: By the type invariant the bio is valid and keeps its memory until it is
            // completed, which takes ownership; these operations have data.
            Op::Read | Op::Write => unsafe {
                Segments::new(self.raw.as_ptr(), matches!(op, Op::Read))
            },
            _ => Segments::empty(),
        }
    }

    /// Completes the bio: its submitter is told, and may free it.
    ///
    /// That runs the submitter's code: hold no lock that it might want. Any context will do but an
    /// NMI: a `bi_end_io` is made for interrupts, as that is where most drivers call it, and what
    /// it counts it counts per CPU, with preemption off.
    #[inline]
    #[doc(alias = "bio_endio")]
    pub fn complete(self, result: Result<(), Status>) {
        ManuallyDrop::new(self).finish(result);
    }

    /// Completes the bio. To be called once, by what gives the value up.
    #[inline]
    fn finish(&mut self, result: Result<(), Status>) {
        let raw = self.raw.as_ptr();
        if let Err(status) = result {
            // SAFETY: By the type invariant. A status that a split-off part has left here is not
            // overwritten by success.
            unsafe { (*raw).bi_status = status.raw() };
        }
        if let Some(started) = self.started {
            // SAFETY: The counterpart of the call in `start()`; the device is still the one of
            // then.
            unsafe { bindings::bio_end_io_acct_remapped(raw, started, (*raw).bi_bdev) };
        }
        // SAFETY: By the type invariant it was not completed before, and this value is used no
        // more.
        unsafe { bindings::bio_endio(raw) };
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        self.finish(Err(Status::Io));
    }
}
