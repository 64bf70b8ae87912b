// SPDX-License-Identifier: GPL-2.0

//! A descriptor chain: memory that is lent to a device as a whole, and comes back as a whole.

use core::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use kernel::{alloc::Flags, prelude::*};

use super::{Readable, Writable};

/// What a chain is made of: a type of the driver's that owns the memory, and says what of it the
/// device may read and write.
///
/// The memory must be contiguous for the device: from `KBox`, `KVec` (not `VVec` or `KVVec`), the
/// contents' own fields, or a bio. Any other is refused, and the chain with it
/// ([`Unfit::NotContiguous`](super::Unfit)).
pub trait Buffers: Send + Sized + 'static {
    /// Tells what the device may read and what it may write.
    ///
    /// Called when the chain is added to a queue, with the queue's lock held: it only tells. The
    /// device sees what is readable before what is writable, each in the order told.
    ///
    /// It is one function with one borrow, which all that is told is a part of, so that nothing of
    /// that can be freed or changed before the chain is lent. (In two functions the second could
    /// free what the first has told.) What is to be read and what is to be written are different
    /// fields, or different parts of one.
    fn describe<'a>(&'a mut self, readable: &mut Readable<'a>, writable: &mut Writable<'a>);
}

struct Contents<B> {
    /// Bytes that the device may write, as told when the chain was added.
    room: usize,
    buffers: B,
}

/// A chain that is not lent: its contents can be looked at and changed.
pub struct Chain<B: Buffers>(KBox<Contents<B>>);

impl<B: Buffers> Chain<B> {
    /// A chain of these buffers.
    pub fn new(buffers: B, flags: Flags) -> Result<Self> {
        Ok(Self(KBox::new(Contents { room: 0, buffers }, flags)?))
    }

    /// The contents.
    pub fn into_inner(self) -> B {
        KBox::into_inner(self.0).buffers
    }

    #[inline]
    pub(super) fn set_room(&mut self, room: usize) {
        self.0.room = room;
    }

    /// The number of bytes that the device wrote, if it says so: a device may say anything.
    #[inline]
    pub(super) fn clamp(&self, written: u32) -> usize {
        self.0.room.min(written as usize)
    }

    /// Gives the chain up, for the core to remember by this address.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<c_void> {
        // SAFETY: A box is never null.
        unsafe { NonNull::new_unchecked(KBox::into_raw(self.0).cast()) }
    }

    /// Takes a chain back.
    ///
    /// # Safety
    ///
    /// From [`Self::into_raw`] of this type, and not taken back before.
    #[inline]
    pub(super) unsafe fn from_raw(raw: NonNull<c_void>) -> Self {
        // SAFETY: By the function's contract.
        Self(unsafe { KBox::from_raw(raw.as_ptr().cast()) })
    }
}

impl<B: Buffers> Deref for Chain<B> {
    type Target = B;

    #[inline]
    fn deref(&self) -> &B {
        &self.0.buffers
    }
}

impl<B: Buffers> DerefMut for Chain<B> {
    #[inline]
    fn deref_mut(&mut self) -> &mut B {
        &mut self.0.buffers
    }
}
