// SPDX-License-Identifier: GPL-2.0

//! The table: slots that hold a pointer, leaves of such slots, and the directory of leaves.

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{Atomic, Full},
};

use super::page::{OwnedPage, Wait};

/// Slots of a leaf: as many as fit a page.
pub(super) const SLOTS: usize = super::store::PAGE_SIZE as usize / size_of::<PageSlot>();

/// A place for a pointer, which is null at first.
#[repr(transparent)]
struct Slot<T>(Atomic<*mut T>);

impl<T> Slot<T> {
    /// What C calls `rcu_dereference()`: who gets the pointer sees what was written before it was
    /// put in.
    ///
    /// `Atomic::load` would do the same through a call.
    #[inline(always)]
    fn get(&self) -> Option<NonNull<T>> {
        // SAFETY: The pointer to the slot is valid and aligned, as it comes from a reference; a
        // volatile read of a pointer does not tear, and counts as marked access in the kernel's
        // memory model.
        NonNull::new(unsafe { self.0.as_ptr().read_volatile() })
    }

    /// Puts a pointer in if there is none. Fully ordered.
    fn put(&self, pointer: *mut T) -> bool {
        self.0.cmpxchg(core::ptr::null_mut(), pointer, Full).is_ok()
    }

    /// Takes the pointer out: exactly one caller gets it. Fully ordered.
    fn take(&self) -> Option<NonNull<T>> {
        NonNull::new(self.0.xchg(core::ptr::null_mut(), Full))
    }
}

/// The slot of one page of data.
///
/// # Invariants
///
/// A pointer in the slot came from [`OwnedPage::into_raw`], and the slot owns it.
#[repr(transparent)]
pub(super) struct PageSlot(Slot<bindings::page>);

impl PageSlot {
    /// The page, which may be used as long as the RCU read lock is held that was held before this
    /// call.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<NonNull<bindings::page>> {
        self.0.get()
    }

    /// Publishes a page, whose contents must be complete. Gives it back if there is one already.
    pub(super) fn put(&self, page: OwnedPage) -> Result<(), OwnedPage> {
        let raw = page.into_raw();
        // INVARIANT: From `into_raw()`; the ownership passes to the slot if it is put in.
        if self.0.put(raw) {
            return Ok(());
        }
        // SAFETY: From `into_raw()` just now, and the slot did not take it. It is not null.
        Err(unsafe { OwnedPage::from_raw(NonNull::new_unchecked(raw)) })
    }

    /// Takes the page out. RCU readers may still be using it.
    pub(super) fn take(&self) -> Option<OwnedPage> {
        // SAFETY: By the type invariant, and `xchg` gives the pointer to exactly one caller.
        self.0
            .take()
            .map(|page| unsafe { OwnedPage::from_raw(page) })
    }
}

/// A page full of slots.
pub(super) type Leaf = [PageSlot; SLOTS];

/// The slot of a leaf.
///
/// # Invariants
///
/// A pointer in the slot is a [`Leaf`] in a page of its own, which stays until the slot is dropped.
#[repr(transparent)]
pub(super) struct LeafSlot(Slot<Leaf>);

impl LeafSlot {
    /// An empty slot.
    pub(super) fn new() -> Self {
        Self(Slot(Atomic::new(core::ptr::null_mut())))
    }

    /// The leaf, if there is one.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<&Leaf> {
        // SAFETY: By the type invariant the leaf lives as long as the slot. It consists of atomics:
        // shared access is fine.
        self.0.get().map(|leaf| unsafe { leaf.as_ref() })
    }

    /// The leaf, which is made if there is none. `None` if there is no memory.
    pub(super) fn get_or_make(&self, wait: Wait) -> Option<&Leaf> {
        if let Some(leaf) = self.get() {
            return Some(leaf);
        }
        let gfp = wait.gfp() | bindings::__GFP_ZERO;
        // SAFETY: As for `OwnedPage`. The result is the address of a zeroed page, or 0. Zeroes are
        // null pointers: a valid leaf.
        let address = unsafe { bindings::get_free_pages_noprof(gfp, 0) };
        let leaf = NonNull::new(address as *mut Leaf)?;
        // INVARIANT: A leaf in a page of its own.
        if !self.0.put(leaf.as_ptr()) {
            // SAFETY: Somebody else's leaf is in: ours was seen by nobody.
            unsafe { bindings::free_pages(address, 0) };
        }
        self.get()
    }
}

impl Drop for LeafSlot {
    fn drop(&mut self) {
        let Some(leaf) = self.0.take() else { return };
        // SAFETY: By the type invariant; `&mut self` says that nobody borrows it.
        for slot in unsafe { leaf.as_ref() } {
            // Nobody can look a page up any more, so there is no reader to wait for.
            drop(slot.take());
        }
        // SAFETY: The leaf has a page of its own, and nobody borrows it.
        unsafe { bindings::free_pages(leaf.as_ptr() as c_ulong, 0) };
    }
}
