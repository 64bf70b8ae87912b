// SPDX-License-Identifier: GPL-2.0

//! `/proc/taskinfo/signal`: a signal for a process.

use kernel::{
    fs::File,
    prelude::*,
    str::{parse_int::ParseInt, BStr},
    uaccess::UserSliceReader,
};
use kit::{proc::file, task::Reader, text};

use crate::find;

/// What is behind the entry: nothing, as all is asked of the kernel.
pub(crate) struct Signal;

#[vtable]
impl file::Operations for Signal {
    type Opened = Reader;

    fn open(&self, file: &File) -> impl PinInit<Reader, Error> {
        Reader::opener(file)
    }

    fn write(
        &self,
        file: &File,
        opener: Pin<&Reader>,
        _: &mut i64,
        from: &mut UserSliceReader,
    ) -> Result<usize> {
        let (mut buffer, len) = ([0; 80], from.len());
        let text = text::read(from, &mut buffer)?;
        let mut words = text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let mut number = || i32::from_str(BStr::from_bytes(words.next().ok_or(EINVAL)?));
        let (process, signal) = (number()?, number()?);
        if words.next().is_some() {
            return Err(EINVAL);
        }
        find(process, &opener)?.signal(signal, file)?;
        Ok(len)
    }
}
