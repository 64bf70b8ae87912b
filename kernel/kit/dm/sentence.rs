// SPDX-License-Identifier: GPL-2.0

//! The sentence by which a constructor says what is wrong.
//!
//! The device mapper prints `ti->error` after the constructor has returned, and says nothing when
//! it is done with it. In C it points to a literal. A sentence that quotes the argument needs
//! memory that outlives the call, so there are a few buffers for ever, used in turn. Should more
//! constructors fail at one moment than there are buffers, a sentence may be garbled. It is never
//! more than that: each buffer always ends with a zero, and bytes are written one by one.

use core::{
    fmt,
    sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
};

use kernel::prelude::*;

const SIZE: usize = 192;

struct Buffer([AtomicU8; SIZE]);

static BUFFERS: [Buffer; 4] = [const { Buffer([const { AtomicU8::new(0) }; SIZE]) }; 4];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Writes to a buffer, up to its last byte but one; the last one stays 0.
struct Writer {
    buffer: &'static Buffer,
    len: usize,
}

impl Writer {
    fn put(&mut self, byte: u8) {
        if self.len < SIZE - 1 {
            self.buffer.0[self.len].store(byte, Relaxed);
            self.len += 1;
        }
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(byte));
        Ok(())
    }
}

/// Makes a sentence that stays; what is longer than a line is cut off.
pub(super) fn lasting(sentence: fmt::Arguments<'_>) -> *mut c_char {
    let turn = NEXT.fetch_add(1, Relaxed) % BUFFERS.len();
    let mut writer = Writer {
        buffer: &BUFFERS[turn],
        len: 0,
    };
    // A value that fails to show itself is left out of the sentence, which is still one.
    let _ = fmt::write(&mut writer, sentence);
    writer.put(0);
    writer.buffer.0.as_ptr().cast_mut().cast()
}
