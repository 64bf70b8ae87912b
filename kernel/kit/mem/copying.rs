// SPDX-License-Identifier: GPL-2.0

//! Which of the kernel's ways to copy a page is the faster one, on the machine that this is.
//!
//! There are two: `memcpy()`, of any length, and `copy_page()`. On x86 the first is one string
//! instruction if the processor says that it is good at short ones, else a loop, and the second one
//! if it says that it is good at long ones, else a loop in larger steps. What a processor says is no
//! measurement, and an emulated one says whatever it was told to: QEMU 11 claims all that it knows,
//! and carries the string instruction of `memcpy()` out byte by byte, with which a disk in memory
//! reads at a fifth of its speed. So both are tried, as the kernel does it for RAID's checksums
//! (`lib/raid6/algos.c`), once, when a module makes its first store.
//!
//! C header: [`arch/x86/include/asm/page_64.h`](srctree/arch/x86/include/asm/page_64.h)

use kernel::{bindings, error::Result, prelude::ENOMEM};

use super::page::{Pages, Wait};
use crate::flag::Flag;

const PAGE: usize = bindings::PAGE_SIZE;

/// Samples of each way, of which the best counts: whatever disturbs one makes it longer.
const SAMPLES: usize = 8;
/// Copies of one sample: some microseconds.
const COPIES: usize = 8;
/// How much faster the way that is not the default must be, as a part of the default's time:
/// otherwise two that are alike would change places from one load to the next.
const MARGIN: u64 = 16;

/// Whether the kernel checks the accesses to its memory.
const WATCHED: bool = cfg!(any(CONFIG_KASAN, CONFIG_KCSAN, CONFIG_KMSAN));

/// Whether [`choose()`] has done its work.
static CHOSEN: Flag = Flag::new(false);
/// Whether it is `copy_page()`.
static BY_PAGES: Flag = Flag::new(false);

/// Tries both, unless that was done. May sleep.
///
/// A kernel that watches memory keeps to `memcpy()`: it looks at what that is given, and not into
/// `copy_page()`, which is assembly. A page that is used after it was freed would be copied unseen.
///
/// If two contexts do so at a time, both find the same, or the later one's finding holds: either
/// way copies well.
pub(super) fn choose() -> Result {
    if CHOSEN.get() || WATCHED {
        return Ok(());
    }
    let (to, from) = (allocate()?, allocate()?);
    let (to, from) = (to.as_ptr().as_ptr(), from.as_ptr().as_ptr());
    let (mut copying, mut paging) = (u64::MAX, u64::MAX);
    for _ in 0..SAMPLES {
        // SAFETY: Both are pages of ours.
        copying = copying.min(sample(|| unsafe { memcpy(to, from, PAGE) }));
        // SAFETY: As above.
        paging = paging.min(sample(|| unsafe { page(to, from) }));
    }
    BY_PAGES.set(paging < copying - copying / MARGIN);
    CHOSEN.set(true);
    Ok(())
}

fn allocate() -> Result<Pages<0>> {
    Pages::zeroed(Wait::Allowed).ok_or(ENOMEM)
}

/// Nanoseconds of [`COPIES`] calls.
fn sample(copy: impl Fn()) -> u64 {
    // SAFETY: Has no precondition but that timekeeping is up, which it is when modules are loaded.
    let now = || unsafe { bindings::ktime_get_raw() };
    let begun = now();
    for _ in 0..COPIES {
        copy();
    }
    (now() - begun).unsigned_abs()
}

/// Copies, the faster way where there is a choice.
///
/// # Safety
///
/// Both ranges must be valid for `len` bytes, and not overlap.
#[inline(always)]
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: The function's contract.
    unsafe {
        if BY_PAGES.get() {
            by_pages(to, from, len)
        } else {
            memcpy(to, from, len)
        }
    }
}

/// Copies whole pages by `copy_page()`, and anything else by `memcpy()`.
///
/// # Safety
///
/// As for [`copy()`].
// For its callers it is one more `memcpy()`: as a part of them it would take their registers.
#[inline(never)]
unsafe fn by_pages(to: *mut u8, from: *const u8, len: usize) {
    let whole = (to.addr() | from.addr() | len) % PAGE == 0;
    // SAFETY: The function's contract; pages only if that is what they are.
    unsafe {
        match len {
            PAGE if whole => page(to, from),
            _ if whole => pages(to, from, len),
            _ => memcpy(to, from, len),
        }
    }
}

/// # Safety
///
/// As for [`copy()`].
#[inline(always)]
unsafe fn memcpy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: The function's contract.
    unsafe { bindings::memcpy(to.cast(), from.cast(), len) };
}

/// # Safety
///
/// As for [`copy()`], with a length of one page; both must begin where a page does.
#[inline(always)]
unsafe fn page(to: *mut u8, from: *const u8) {
    // SAFETY: By the function's contract; `from` is only read, whatever the pointer's type says.
    unsafe { bindings::copy_page(to.cast(), from.cast_mut().cast()) };
}

/// # Safety
///
/// As for [`copy()`], and both ranges must be whole pages.
#[inline(never)]
unsafe fn pages(mut to: *mut u8, mut from: *const u8, mut len: usize) {
    while len != 0 {
        // SAFETY: By the function's contract there is another page of each.
        unsafe { page(to, from) };
        (to, from) = (to.wrapping_add(PAGE), from.wrapping_add(PAGE));
        // Of whole pages nothing is left in the end but nothing.
        len = len.wrapping_sub(PAGE);
    }
}
