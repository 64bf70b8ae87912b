// SPDX-License-Identifier: GPL-2.0

//! Text for user space: the answer to `dmsetup status`, `table` and `message`.

use core::marker::PhantomData;

use kernel::{fmt, prelude::*};

/// A buffer that text is written to.
///
/// What does not fit is cut off, and user space then asks again with a larger buffer: it is told so
/// by a buffer that is full to the end, which is what writing too much leaves. So writing never
/// fails.
///
/// # Invariants
///
/// `start` is valid for writes of `size` bytes as long as `'a`. `len` is less than `size`, unless
/// both are 0; the byte at `len` is zero.
pub struct Text<'a> {
    start: *mut u8,
    size: usize,
    len: usize,
    _buffer: PhantomData<&'a mut [u8]>,
}

impl Text<'_> {
    /// # Safety
    ///
    /// `start` must be valid for writes of `size` bytes, by nobody else, as long as the value.
    pub(super) unsafe fn new(start: *mut c_char, size: usize) -> Self {
        // INVARIANT: By the function's contract; `end()` writes the zero.
        let text = Self {
            start: start.cast(),
            size,
            len: 0,
            _buffer: PhantomData,
        };
        text.end();
        text
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn end(&self) {
        if self.size > 0 {
            // SAFETY: By the type invariant, `len` is within the buffer.
            unsafe { self.start.add(self.len).write(0) };
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A zero would end the text for its reader, so there is none.
        for byte in text.bytes().filter(|&byte| byte != 0) {
            if self.len + 1 >= self.size {
                break;
            }
            // SAFETY: By the type invariant and the check, within the buffer.
            unsafe { self.start.add(self.len).write(byte) };
            self.len += 1;
        }
        self.end();
        Ok(())
    }
}
