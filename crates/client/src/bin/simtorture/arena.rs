// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory to point at. Whatever the kernel writes for a bad pointer lands here, in pages that hold nothing of ours, or
//! nowhere: a page that may be written, one that may only be read, and one that may not be touched, in a row.

use std::ptr::NonNull;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const PAGE: usize = 4096;
/// Writable pages: room for an argument and for the largest map.
const WRITABLE: usize = 4;
const LENGTH: usize = (WRITABLE + 2) * PAGE;

/// The pages. Only the thread that owns it uses them.
pub(crate) struct Arena(NonNull<u8>);

// SAFETY: the pages belong to the arena alone, and are unmapped with it, by whichever thread that is.
unsafe impl Send for Arena {}

/// Where the argument of a call lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it may be.
    Good,
    /// Its last byte is on a page that may not be touched, or all of it.
    Guarded,
    /// On a page that may only be read.
    ReadOnly,
    /// At an address that is none of ours.
    Wild(u64),
}

impl Arena {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        // SAFETY: a new private mapping at an address that the kernel chooses overlaps nothing.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                LENGTH,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let arena = Self(NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?);
        arena.protect(WRITABLE, MprotectFlags::READ)?;
        arena.protect(WRITABLE + 1, MprotectFlags::empty())?;
        Ok(arena)
    }

    fn protect(&self, page: usize, flags: MprotectFlags) -> rustix::io::Result<()> {
        // SAFETY: the page lies in the mapping that was just made, and there is no reference into it.
        unsafe { mprotect(self.0.as_ptr().add(page * PAGE).cast(), PAGE, flags) }
    }

    /// The address of byte `offset` of the writable pages.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        self.0.as_ptr().expose_provenance() as u64 + offset as u64
    }

    /// Puts bytes at `offset` of the writable pages.
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= WRITABLE * PAGE, "beyond the writable pages");
        // SAFETY: the range lies in the writable pages, which nothing else refers to; `bytes` lies elsewhere, for the arena
        // lends out no references.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(offset), bytes.len()) };
    }

    /// The bytes at `offset` of the writable pages.
    pub(crate) fn get(&self, offset: usize, length: usize) -> Vec<u8> {
        assert!(offset + length <= WRITABLE * PAGE, "beyond the writable pages");
        let mut bytes = vec![0; length];
        // SAFETY: as in `put`; a new mapping is all zeroes, so every byte is initialised.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr().add(offset), bytes.as_mut_ptr(), length) };
        bytes
    }

    /// The address of an argument of `size` bytes that was put at offset 0, or of a place where it cannot be.
    pub(crate) fn place(&self, place: Place, size: usize, spill: usize) -> u64 {
        match place {
            Place::Good => self.address(0),
            // The page before the guard may be read, so the kernel sees part of an argument.
            Place::Guarded => {
                self.address((WRITABLE + 1) * PAGE) - size.saturating_sub(1 + spill % size.max(1)) as u64
            }
            Place::ReadOnly => self.address(WRITABLE * PAGE),
            Place::Wild(address) => address,
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the whole mapping that `new` made; nothing refers to it any more.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), LENGTH) };
        debug_assert!(unmapped.is_ok(), "it was mapped: {unmapped:?}");
    }
}
