// SPDX-License-Identifier: GPL-2.0

//! Memory for data: allocated, filled, freed now or after a grace period.
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

use core::{mem::offset_of, ptr::NonNull};

use kernel::bindings;

use super::{kcsan, store::PAGE_SIZE};

/// How far an allocation may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It may sleep and reclaim memory, but start no I/O, and fails rather than try for ever.
    Allowed,
    /// It must not sleep.
    Forbidden,
}

impl Wait {
    /// The flags for an allocation in the path of a request.
    ///
    /// With plain `GFP_NOIO` an allocation of one page never fails: the kernel tries until some
    /// process is killed, or for ever, since this context may not start the OOM killer.
    /// `__GFP_RETRY_MAYFAIL` makes it try hard and give up.
    pub(super) fn gfp(self) -> bindings::gfp_t {
        const NO_IO: bindings::gfp_t =
            bindings::GFP_KERNEL & !(1 << bindings::___GFP_IO_BIT | 1 << bindings::___GFP_FS_BIT);
        const MAY_FAIL: bindings::gfp_t = 1 << bindings::___GFP_RETRY_MAYFAIL_BIT;
        match self {
            Wait::Allowed => NO_IO | MAY_FAIL | bindings::__GFP_NOWARN,
            Wait::Forbidden => bindings::GFP_NOWAIT | bindings::__GFP_NOWARN,
        }
    }
}

/// Pages in a row, `1 << ORDER` of them, that nobody else knows. They are always mapped.
///
/// # Invariants
///
/// The pointer is to that many pages from the page allocator, which are to be freed together, in
/// the direct map, and the value owns them. It is aligned to the size of all of them.
pub(super) struct Pages<const ORDER: u32>(NonNull<u8>);

impl<const ORDER: u32> Pages<ORDER> {
    /// Bytes of all of them.
    pub(super) const SIZE: usize = (PAGE_SIZE as usize) << ORDER;

    /// Allocates them; their contents are whatever they were.
    #[inline]
    pub(super) fn new(wait: Wait) -> Option<Self> {
        Self::allocate(wait.gfp())
    }

    /// Allocates them full of zeroes.
    #[inline]
    pub(super) fn zeroed(wait: Wait) -> Option<Self> {
        Self::allocate(wait.gfp() | bindings::__GFP_ZERO)
    }

    #[inline]
    fn allocate(gfp: bindings::gfp_t) -> Option<Self> {
        // SAFETY: Allocating has no precondition but that the context allows what the flags say,
        // which is the caller's promise in choosing `Wait`; getting it wrong is a bug report
        // ("sleeping function called"), not memory unsafety.
        let address = unsafe { bindings::get_free_pages_noprof(gfp, ORDER) };
        // INVARIANT: Just allocated, not in high memory; the allocator aligns to the size.
        NonNull::new(address as *mut u8).map(Self)
    }

    /// Where they are: valid for reads and writes of [`Self::SIZE`] bytes.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> NonNull<u8> {
        self.0
    }

    /// Nobody else uses them, whatever KCSAN knows of that.
    ///
    /// Whoever publishes them says so before, and what frees them does by itself.
    #[inline(always)]
    pub(super) fn are_ours(&self) {
        // SAFETY: By the type invariant.
        unsafe { kcsan::owned(self.0.as_ptr(), Self::SIZE) };
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

    /// Frees them once all RCU readers of now have finished.
    pub(super) fn free_after_readers(self) {
        let page = page_of(self.into_raw());
        // SAFETY: The pages are ours. The `rcu_head` of the first one is there for whoever owns it
        // and wants to free it by RCU (see `struct page`), it is not part of the contents that
        // readers may still use, and nothing else uses it. The callback's code stays until
        // `rcu_barrier()` in the `drop()` of what had the pages.
        unsafe {
            bindings::call_rcu(page.byte_add(RCU_HEAD).cast(), Some(free_by_rcu::<ORDER>));
        }
    }
}

impl<const ORDER: u32> Drop for Pages<ORDER> {
    #[inline]
    fn drop(&mut self) {
        self.are_ours();
        // SAFETY: By the type invariant.
        unsafe { bindings::free_pages(self.0.as_ptr() as usize, ORDER) };
    }
}

/// The `struct page` of the page that begins here.
pub(super) fn page_of(start: NonNull<u8>) -> *mut bindings::page {
    // SAFETY: The callers have the address from the page allocator, in the direct map, and none of
    // these pages is compound: so each is its own head.
    unsafe { kit_bindings::virt_to_head_page(start.as_ptr().cast()) }
}

/// Where `struct page` has its `rcu_head`: a member of the union that follows the flags.
const RCU_HEAD: usize = offset_of!(bindings::page, __bindgen_anon_1);

/// # Safety
///
/// `head` must be the `rcu_head` of the first of some pages whose ownership was given to
/// [`Pages::free_after_readers`], of the same order.
unsafe extern "C" fn free_by_rcu<const ORDER: u32>(head: *mut bindings::callback_head) {
    // SAFETY: By the function's contract this is within a `struct page`.
    let page = unsafe { head.byte_sub(RCU_HEAD) }.cast();
    #[cfg(CONFIG_KCSAN)]
    // SAFETY: By the function's contract it is that of the first of these pages, in the direct map.
    unsafe {
        let start = kit_bindings::lowmem_page_address(page).cast();
        kcsan::owned(start, Pages::<ORDER>::SIZE);
    };
    // SAFETY: By the function's contract these pages are ours, and of this order.
    unsafe { bindings::__free_pages(page, ORDER) };
}
