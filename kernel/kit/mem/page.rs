// SPDX-License-Identifier: GPL-2.0

//! One page of data: allocated, filled, mapped, freed now or after a grace period.
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h),
//! [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use core::{marker::PhantomData, mem::offset_of, ptr::NonNull};

use kernel::bindings;

use super::store::PAGE_SIZE;

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

/// A page that nobody else knows.
///
/// # Invariants
///
/// The pointer is a page of order 0 that was allocated and is owned by this value.
pub(super) struct OwnedPage(NonNull<bindings::page>);

impl OwnedPage {
    /// Allocates a page; its contents are whatever they were.
    #[inline]
    pub(super) fn uninit(wait: Wait) -> Option<Self> {
        Self::allocate(wait.gfp())
    }

    /// Allocates a page full of zeroes.
    #[inline]
    pub(super) fn zeroed(wait: Wait) -> Option<Self> {
        Self::allocate(wait.gfp() | bindings::__GFP_ZERO)
    }

    #[inline]
    fn allocate(gfp: bindings::gfp_t) -> Option<Self> {
        // SAFETY: Allocating has no precondition but that the context allows what the flags say,
        // which is the caller's promise in choosing `Wait`; getting it wrong is a bug report
        // ("sleeping function called"), not memory unsafety.
        let page = unsafe { bindings::alloc_pages(gfp | bindings::__GFP_HIGHMEM, 0) };
        // INVARIANT: Just allocated, with order 0.
        NonNull::new(page).map(Self)
    }

    /// The contents, mapped for the current task.
    #[inline]
    pub(super) fn map(&self) -> Mapped<'_> {
        // SAFETY: The page is owned, so it is there as long as the borrow.
        unsafe { Mapped::new(self.0.as_ptr()) }
    }

    /// Gives up the ownership to the slot of a table.
    #[inline]
    pub(super) fn into_raw(self) -> *mut bindings::page {
        let page = self.0.as_ptr();
        core::mem::forget(self);
        page
    }

    /// Takes the ownership back.
    ///
    /// # Safety
    ///
    /// `page` must come from [`Self::into_raw`], and its ownership pass to the caller.
    #[inline]
    pub(super) unsafe fn from_raw(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the function's contract.
        Self(page)
    }

    /// Frees the page once all RCU readers of now have finished.
    pub(super) fn free_after_readers(self) {
        let page = self.into_raw();
        // SAFETY: The page is ours. Its `rcu_head` is there for whoever owns the page and wants to
        // free it by RCU (see `struct page`), it is not part of the contents that readers may still
        // use, and nothing else uses it. The callback's code stays until `rcu_barrier()` in the
        // store's `drop()`.
        unsafe {
            bindings::call_rcu(page.byte_add(RCU_HEAD).cast(), Some(free_by_rcu));
        }
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: Allocated with order 0 and owned by this value.
        unsafe { bindings::__free_pages(self.0.as_ptr(), 0) };
    }
}

/// Where `struct page` has its `rcu_head`: a member of the union that follows the flags.
const RCU_HEAD: usize = offset_of!(bindings::page, __bindgen_anon_1);

/// # Safety
///
/// `head` must be the `rcu_head` of a page whose ownership was given to
/// [`OwnedPage::free_after_readers`].
unsafe extern "C" fn free_by_rcu(head: *mut bindings::callback_head) {
    // SAFETY: By the function's contract this is a page, not null, and ours.
    drop(unsafe { OwnedPage(NonNull::new_unchecked(head.byte_sub(RCU_HEAD).cast())) });
}

/// The contents of a page, mapped for the current task until dropped. Mappings nest: the last one
/// made goes first.
///
/// # Invariants
///
/// `address` is the page's contents, [`PAGE_SIZE`] bytes, valid as long as `'a`.
pub(super) struct Mapped<'a> {
    address: *mut u8,
    _page: PhantomData<&'a ()>,
}

impl Mapped<'_> {
    /// Maps a page.
    ///
    /// # Safety
    ///
    /// The page must not be freed during `'a`: it is owned, or the RCU read lock has been held
    /// since it was looked up.
    #[inline]
    pub(super) unsafe fn new(page: *mut bindings::page) -> Self {
        // SAFETY: The caller promises a page; the mapping is undone in `drop()`, by the same task
        // as the type is not `Send`.
        let address = unsafe { bindings::kmap_local_page(page) }.cast();
        // INVARIANT: As the page stays, so does the address.
        Self {
            address,
            _page: PhantomData,
        }
    }

    /// The address `offset` bytes into the page.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < PAGE_SIZE as usize);
        self.address.wrapping_add(offset)
    }
}

impl Drop for Mapped<'_> {
    #[inline]
    fn drop(&mut self) {
        // Without such a mapping the address is the direct map's, and unmapping an empty function.
        if !cfg!(CONFIG_KMAP_LOCAL) {
            return;
        }
        // SAFETY: Mapped in `new()`.
        unsafe { bindings::kunmap_local(self.address.cast()) };
    }
}
