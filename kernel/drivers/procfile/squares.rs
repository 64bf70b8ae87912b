// SPDX-License-Identifier: GPL-2.0

//! A list that is made while it is read.

use kernel::{
    fmt,
    fs::File,
    new_mutex,
    prelude::*,
    sync::{Mutex, MutexGuard},
    uaccess::UserSliceReader,
};
use kit::{
    proc::sequence::{Cursor, Sequence},
    text,
};

/// Largest number that may be squared. Seeking makes all lines up to the offset anew, in one call
/// that nothing interrupts, so the list must not be endless.
const LARGEST: u64 = 100_000;

/// What is behind `/proc/procfile_squares`.
#[pin_data]
pub(crate) struct Squares {
    #[pin]
    up_to: Mutex<u64>,
}

impl Squares {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self { up_to <- new_mutex!(10) })
    }
}

/// The line of a number. While a reader is at it, how far the list goes does not change.
pub(crate) struct Line<'a> {
    number: u64,
    up_to: MutexGuard<'a, u64>,
}

#[vtable]
impl Sequence for Squares {
    type Opened = ();
    type Cursor<'a> = Line<'a>;

    fn open(&self, _: &File) -> impl PinInit<(), Error> {
        Ok(())
    }

    fn start(&self, _: Pin<&()>, position: u64) -> Result<Option<Line<'_>>> {
        let up_to = self.up_to.lock();
        let number = position.max(1);
        Ok((number <= *up_to).then(|| Line { number, up_to }))
    }

    fn write(&self, _: &File, _: Pin<&()>, from: &mut UserSliceReader) -> Result {
        let up_to: u64 = text::read_number(from)?;
        if up_to > LARGEST {
            return Err(EINVAL);
        }
        *self.up_to.lock() = up_to;
        Ok(())
    }
}

impl Cursor for Line<'_> {
    fn position(&self) -> u64 {
        self.number
    }

    fn advance(&mut self) -> bool {
        self.number += 1;
        self.number <= *self.up_to
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.number, self.number * self.number)
    }
}
