// SPDX-License-Identifier: GPL-2.0

//! The lists of memory that a chain is made of, as the virtio core takes them.
//!
//! The core reads the lists while a chain is added and keeps nothing of them. So one table, made
//! with its queue and guarded by its lock, serves all chains, and adding one allocates no list.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)

use kernel::{bindings, bindings::scatterlist, prelude::*};

use super::{Buffers, Unfit};
use crate::block::{Bio, Segment};

const PAGE_SIZE: usize = bindings::PAGE_SIZE;

/// Marks an entry as the last of its list (`SG_END`), in `page_link`.
const END: c_ulong = 2;

/// Bytes of the longest entry, whatever the device and its mapping allow.
const MAX_LEN: usize = 1 << 30;

/// Memory that a chain has for one direction.
///
/// # Invariants
///
/// `entries[..used]` each describe memory that was there when they were written. `used` is at most
/// `max_entries`, and that at most the number of entries.
struct List {
    entries: KVec<scatterlist>,
    max_entries: usize,
    max_len: usize,
    used: usize,
    bytes: usize,
    unfit: Option<Unfit>,
}

/// What the core is given for a chain: a list to read from and one to write to, of which one may be
/// missing, each ended.
pub(super) struct Lists {
    pub(super) heads: [*mut scatterlist; 2],
    pub(super) readable: c_uint,
    pub(super) writable: c_uint,
    /// Bytes that the device may write.
    pub(super) room: usize,
}

impl List {
    /// A list of up to `max_entries` entries.
    fn new(max_entries: usize) -> Result<Self> {
        let entries = KVec::from_elem(pin_init::zeroed::<scatterlist>(), max_entries, GFP_KERNEL)?;
        // INVARIANT: None is used.
        Ok(Self {
            entries,
            max_entries,
            max_len: MAX_LEN,
            used: 0,
            bytes: 0,
            unfit: None,
        })
    }

    fn restrict(&mut self, max_entries: usize, max_len: usize) {
        // INVARIANT: None is used any more.
        self.clear();
        self.max_entries = self.entries.len().min(max_entries);
        self.max_len = max_len.clamp(1, MAX_LEN);
    }

    #[inline]
    fn clear(&mut self) {
        (self.used, self.bytes, self.unfit) = (0, 0, None);
    }

    /// The list, ended; a place without entries if it is empty.
    #[inline]
    fn ended(&mut self) -> *mut scatterlist {
        if let Some(last) = self.entries[..self.used].last_mut() {
            last.page_link |= END;
        }
        self.entries.as_mut_ptr()
    }

    /// Takes the next entry.
    #[inline]
    fn next(&mut self) -> Option<&mut scatterlist> {
        if self.used >= self.max_entries {
            self.unfit = Some(Unfit::TooLong);
            return None;
        }
        self.used += 1;
        Some(&mut self.entries[self.used - 1])
    }

    /// Adds memory of the kernel's.
    ///
    /// Neither vmalloc memory, nor a module's statics, nor (as a rule) a stack are contiguous in
    /// physical memory, nor does the core find their pages: these are refused. An object in the
    /// kernel's direct map is contiguous, and ends there if it begins there.
    #[inline]
    fn push_bytes(&mut self, bytes: *const u8, len: usize) {
        // SAFETY: Any address may be asked for.
        if len > 0 && !unsafe { bindings::__virt_addr_valid(bytes as c_ulong) } {
            self.unfit = Some(Unfit::NotContiguous);
            return;
        }
        let mut at = 0;
        while at < len {
            let piece = self.max_len.min(len - at);
            let Some(entry) = self.next() else { return };
            // SAFETY: The entry is there to be written, and the address is in the direct map, as
            // was just asked.
            unsafe { bindings::sg_init_one(entry, bytes.wrapping_add(at).cast(), piece as c_uint) };
            entry.page_link &= !END;
            at += piece;
        }
        self.bytes += len;
    }

    /// Adds memory of a bio.
    #[inline]
    fn push_segment(&mut self, segment: &Segment<'_>) {
        let (page, offset, len) = segment.as_raw();
        let mut at = 0;
        while at < len {
            let piece = self.max_len.min(len - at);
            let Some(entry) = self.next() else { return };
            let start = offset + at;
            // Pages are aligned to more than the two bits of marks.
            let page = page.wrapping_add(start / PAGE_SIZE);
            *entry = scatterlist {
                page_link: page as c_ulong,
                offset: (start % PAGE_SIZE) as c_uint,
                length: piece as c_uint,
                ..pin_init::zeroed()
            };
            at += piece;
        }
        self.bytes += len;
    }
}

/// The two lists of a chain. There is room for the longest chain in each, as how a chain's entries
/// are divided is known when it has told all of them.
pub(super) struct Table {
    readable: List,
    writable: List,
    max_entries: usize,
}

impl Table {
    /// A table for chains of up to `max_entries` entries.
    pub(super) fn new(max_entries: usize) -> Result<Self> {
        Ok(Self {
            readable: List::new(max_entries)?,
            writable: List::new(max_entries)?,
            max_entries,
        })
    }

    /// Restricts chains to what the queue and the mapping of its device take.
    pub(super) fn restrict(&mut self, max_entries: usize, max_len: usize) {
        self.max_entries = self.readable.entries.len().min(max_entries);
        self.readable.restrict(max_entries, max_len);
        self.writable.restrict(max_entries, max_len);
    }

    /// Describes what a chain is made of.
    #[inline]
    pub(super) fn describe<B: Buffers>(&mut self, buffers: &mut B) -> Result<Lists, Unfit> {
        let (readable, writable) = (&mut self.readable, &mut self.writable);
        readable.clear();
        writable.clear();
        buffers.describe(
            &mut Readable { list: readable },
            &mut Writable { list: writable },
        );
        if let Some(unfit) = readable.unfit.or(writable.unfit) {
            return Err(unfit);
        }
        match readable.used + writable.used {
            0 => return Err(Unfit::Empty),
            used if used > self.max_entries => return Err(Unfit::TooLong),
            _ => (),
        }
        let (first, second) = (readable.ended(), writable.ended());
        let is_read = readable.used > 0;
        Ok(Lists {
            heads: if is_read {
                [first, second]
            } else {
                [second, second]
            },
            readable: is_read.into(),
            writable: (writable.used > 0).into(),
            room: writable.bytes,
        })
    }
}

/// Takes what a chain has for the device to read.
///
/// The lifetime is that of the one borrow of the chain's contents in [`Buffers::describe`]. So what
/// is given here is kept by the contents (or lives for ever), and cannot be freed or changed before
/// the chain is lent; from then on nobody reaches the contents, until it has come back.
pub struct Readable<'a> {
    list: &'a mut List,
}

impl<'a> Readable<'a> {
    /// Bytes in memory of the kernel's: of a box or a `KVec`, or of the contents themselves, which
    /// are boxed.
    #[inline]
    pub fn bytes(&mut self, bytes: &'a [u8]) {
        self.list.push_bytes(bytes.as_ptr(), bytes.len());
    }

    /// The data of a bio that writes; a bio without data adds nothing.
    #[inline]
    pub fn bio(&mut self, bio: &'a Bio) {
        for segment in bio.segments() {
            if segment.is_fillable() {
                self.list.unfit = Some(Unfit::WrongDirection);
                return;
            }
            self.list.push_segment(&segment);
        }
    }
}

/// Takes what a chain has for the device to write. As [`Readable`], and nobody else may look at it
/// meanwhile.
pub struct Writable<'a> {
    list: &'a mut List,
}

impl<'a> Writable<'a> {
    /// As [`Readable::bytes`].
    #[inline]
    pub fn bytes(&mut self, bytes: &'a mut [u8]) {
        self.list.push_bytes(bytes.as_ptr(), bytes.len());
    }

    /// The memory of a bio that reads; a bio without data adds nothing.
    #[inline]
    pub fn bio(&mut self, bio: &'a Bio) {
        for segment in bio.segments() {
            if !segment.is_fillable() {
                self.list.unfit = Some(Unfit::WrongDirection);
                return;
            }
            self.list.push_segment(&segment);
        }
    }
}
