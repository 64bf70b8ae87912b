// SPDX-License-Identifier: MIT OR Apache-2.0
//! Places to point an ioctl at, good and bad, and the call itself.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use blockyard_abi::ioctl::Ioctl;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const PAGE: usize = 4096;

/// Three pages in a row: one that may be written, one that may only be read, and one that may not be touched.
pub(crate) struct Pages(NonNull<u8>);

/// Where the argument of a call lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Where it may be.
    Good,
    /// At address 0.
    Null,
    /// In the kernel's half of the addresses.
    Kernel,
    /// On the page that may only be read.
    ReadOnly,
    /// All but its last byte on a page that may be read.
    Across,
}

impl Pages {
    pub(crate) fn new() -> io::Result<Self> {
        let (writable, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new private mapping at an address that the kernel chooses overlaps nothing.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), 3 * PAGE, writable, private)? };
        let pages = Self(NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?);
        for (page, flags) in [(1, MprotectFlags::READ), (2, MprotectFlags::empty())] {
            // SAFETY: the page lies in the mapping that was just made, and there is no reference into it.
            unsafe { mprotect(pages.0.as_ptr().add(page * PAGE).cast(), PAGE, flags)? };
        }
        Ok(pages)
    }

    fn address(&self, place: Place, size: usize) -> u64 {
        let base = self.0.as_ptr().expose_provenance();
        let address = match place {
            Place::Good => base,
            Place::Null => 0,
            Place::Kernel => 0xffff_8880_0000_0000,
            Place::ReadOnly => base + PAGE,
            Place::Across => base + 2 * PAGE + 1 - size,
        };
        address as u64
    }

    /// Makes an ioctl with this argument; gives how it ended.
    pub(crate) fn ioctl(
        &mut self,
        file: &File,
        number: Ioctl,
        place: Place,
        argument: &[u8],
    ) -> io::Result<()> {
        assert!(argument.len() <= PAGE, "an argument is smaller than a page");
        // SAFETY: the page may be written, is ours, and nothing refers to it.
        unsafe { std::ptr::copy_nonoverlapping(argument.as_ptr(), self.0.as_ptr(), argument.len()) };
        let address = self.address(place, argument.len());
        // SAFETY: the kernel checks what it is given: that is what is tested here. Whatever it writes lies in our pages, or at an
        // address where this program has nothing.
        match unsafe { libc::ioctl(file.as_raw_fd(), number.raw() as libc::Ioctl, address) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the whole mapping that `new` made; nothing refers to it any more.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), 3 * PAGE) };
        debug_assert!(unmapped.is_ok(), "it was mapped: {unmapped:?}");
    }
}
