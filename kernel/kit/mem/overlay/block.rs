// SPDX-License-Identifier: GPL-2.0

//! Memory for a page of data or a table.
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

use core::ptr::NonNull;

use kernel::bindings;

use super::{
    super::page::{OwnedPage, Wait},
    word::PAGE,
};

// The masks in the words of the tree are for pages of this size.
const _: () = assert!(PAGE == bindings::PAGE_SIZE, "pages are of 4 KiB");

/// A page that nobody else knows, always mapped. Its contents are whatever they were.
///
/// # Invariants
///
/// The pointer is to a page of order 0 from the page allocator, in the direct map, and the value
/// owns it.
pub(super) struct Block(NonNull<u8>);

impl Block {
    /// Allocates one.
    #[inline]
    pub(super) fn new(wait: Wait) -> Option<Self> {
        // SAFETY: Allocating has no precondition but that the context allows what the flags say;
        // see `OwnedPage::allocate()`.
        let address = unsafe { bindings::get_free_pages_noprof(wait.gfp(), 0) };
        // INVARIANT: Just allocated, with order 0, and not in high memory.
        NonNull::new(address as *mut u8).map(Self)
    }

    /// Where it is: valid for reads and writes of [`PAGE`] bytes, and aligned to as many.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> NonNull<u8> {
        self.0
    }

    /// Gives the ownership up.
    #[inline(always)]
    pub(super) fn into_raw(self) -> NonNull<u8> {
        core::mem::ManuallyDrop::new(self).0
    }

    /// Takes the ownership back.
    ///
    /// # Safety
    ///
    /// `raw` must come from [`Self::into_raw`], and the ownership pass to the caller.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        // INVARIANT: By the function's contract.
        Self(raw)
    }

    /// Frees it once all RCU readers of now have finished.
    pub(super) fn free_after_readers(self) {
        let raw = self.into_raw();
        // SAFETY: By the type invariant it is in the direct map, so it has a `struct page`, of
        // order 0 from the page allocator, and ours.
        let page = unsafe {
            OwnedPage::from_raw(NonNull::new_unchecked(kit_bindings::virt_to_head_page(
                raw.as_ptr().cast(),
            )))
        };
        page.free_after_readers();
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::free_pages(self.0.as_ptr() as usize, 0) };
    }
}
