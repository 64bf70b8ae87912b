// SPDX-License-Identifier: GPL-2.0

//! Held bios in a row.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::bindings;

use super::{Held, Target};

/// A list of held bios, first in, first out. It takes no memory: the bios are linked to each other.
///
/// Dropping it completes them with an I/O error.
///
/// # Invariants
///
/// Each bio from `head` on, linked by `bi_next` up to `tail`, was a [`Held<T>`] that this value now
/// owns; its target is in `bi_private`, which is the owner's to use. `head` is null if there is
/// none, and then `tail` means nothing.
#[doc(alias = "bio_list")]
pub struct HeldList<T: Target> {
    head: *mut bindings::bio,
    tail: *mut bindings::bio,
    _target: PhantomData<fn() -> Held<T>>,
}

// SAFETY: It is a collection of `Held<T>`, which is `Send`.
unsafe impl<T: Target> Send for HeldList<T> {}
// SAFETY: `&HeldList` only looks at a pointer of its own.
unsafe impl<T: Target> Sync for HeldList<T> {}

impl<T: Target> HeldList<T> {
    /// No bio.
    pub const fn new() -> Self {
        // INVARIANT: There is none.
        Self {
            head: core::ptr::null_mut(),
            tail: core::ptr::null_mut(),
            _target: PhantomData,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Adds a bio at the end.
    pub fn push(&mut self, bio: Held<T>) {
        let (bio, ti) = bio.into_raw();
        let bio = bio.as_ptr();
        // SAFETY: The bio was owned, so these fields of it are the owner's; the tail is a bio of
        // ours.
        unsafe {
            (*bio).bi_next = core::ptr::null_mut();
            (*bio).bi_private = ti.as_ptr().cast();
            if self.head.is_null() {
                self.head = bio;
            } else {
                (*self.tail).bi_next = bio;
            }
        }
        // INVARIANT: The bio is the last one now.
        self.tail = bio;
    }

    /// Takes the first bio.
    pub fn pop(&mut self) -> Option<Held<T>> {
        let bio = NonNull::new(self.head)?;
        // SAFETY: By the type invariant, a bio of ours with its target; it leaves the list, and is
        // left as it came.
        unsafe {
            let raw = bio.as_ptr();
            self.head = (*raw).bi_next;
            (*raw).bi_next = core::ptr::null_mut();
            let ti = NonNull::new_unchecked((*raw).bi_private.cast());
            (*raw).bi_private = core::ptr::null_mut();
            Some(Held::from_raw(bio, ti))
        }
    }
}

impl<T: Target> Default for HeldList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Target> Drop for HeldList<T> {
    fn drop(&mut self) {
        while let Some(bio) = self.pop() {
            drop(bio);
        }
    }
}
