// SPDX-License-Identifier: GPL-2.0

//! `procfile`: two entries in /proc.
//!
//! - `/proc/procfile` holds a text of at most 4096 bytes, and is read and written as a regular file
//!   would be: `>` empties it first, `>>` appends, offsets are honoured, a gap is filled with
//!   zeroes, and what does not fit is not taken (a short write, then `ENOSPC`).
//! - `/proc/procfile_squares` lists the squares up to a number, which is written to it. The list may
//!   be longer than a page; `seq_file` cuts it to what a reader asks for.
//!
//! Everybody may read, root may write. The module can go while they are open.

#![deny(unsafe_code)]

mod squares;

use kernel::{
    fs::{file::flags, File},
    iov::IovIterDest,
    new_mutex,
    prelude::*,
    sync::Mutex,
    uaccess::UserSliceReader,
};
use kit::proc::{file, Entry};

use crate::squares::Squares;

module! {
    type: ProcFile,
    name: "procfile",
    authors: ["Blockyard developers"],
    description: "A text and a list in /proc",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// Most bytes that the text may have.
const CAPACITY: usize = 4096;

/// The loaded module: dropping it removes the entries.
struct ProcFile {
    _text: Entry<Text>,
    _squares: Entry<Squares>,
}

impl kernel::Module for ProcFile {
    fn init(_: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _text: Entry::file(None, c"procfile", 0o644, Text::new())?,
            _squares: Entry::sequence(None, c"procfile_squares", 0o644, Squares::new())?,
        })
    }
}

/// What is behind `/proc/procfile`.
#[pin_data]
struct Text {
    /// Its memory is there from the beginning, so a write never fails for want of it.
    #[pin]
    bytes: Mutex<KVec<u8>>,
}

impl Text {
    fn new() -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let bytes = KVec::with_capacity(CAPACITY, GFP_KERNEL)?;
            Ok(try_pin_init!(Self { bytes <- new_mutex!(bytes) }))
        })
    }

    /// Puts `new` at `offset`, or as much of it as fits; returns how much that was.
    fn put(bytes: &mut KVec<u8>, offset: usize, new: &[u8]) -> Result<usize> {
        if new.is_empty() {
            return Ok(0);
        }
        let count = new.len().min(CAPACITY.saturating_sub(offset));
        if count == 0 {
            return Err(ENOSPC);
        }
        let end = offset + count;
        if bytes.len() < end {
            bytes.resize(end, 0, GFP_KERNEL)?;
        }
        bytes[offset..end].copy_from_slice(&new[..count]);
        Ok(count)
    }
}

/// User memory is read and written without the lock: the page that it is in may have to be fetched
/// first, and its owner decides how long that takes.
#[vtable]
impl file::Operations for Text {
    type Opened = ();

    fn open(&self, file: &File) -> impl PinInit<(), Error> {
        if file.flags() & flags::O_TRUNC != 0 {
            self.bytes.lock().clear();
        }
        Ok(())
    }

    fn size(&self, _: Pin<&()>) -> usize {
        self.bytes.lock().len()
    }

    fn read(&self, _: Pin<&()>, position: &mut i64, to: &mut IovIterDest<'_>) -> Result<usize> {
        let mut copy = KVec::with_capacity(CAPACITY, GFP_KERNEL)?;
        copy.extend_from_slice(&self.bytes.lock(), GFP_KERNEL)?;
        to.simple_read_from_buffer(position, &copy)
    }

    fn write(
        &self,
        file: &File,
        _: Pin<&()>,
        position: &mut i64,
        from: &mut UserSliceReader,
    ) -> Result<usize> {
        let mut new = KVec::from_elem(0, from.len().min(CAPACITY), GFP_KERNEL)?;
        from.read_slice(&mut new)?;
        let mut bytes = self.bytes.lock();
        let offset = match file.flags() & flags::O_APPEND {
            0 => usize::try_from(*position)?,
            _ => bytes.len(),
        };
        let count = Self::put(&mut bytes, offset, &new)?;
        *position = (offset + count) as i64;
        Ok(count)
    }
}
