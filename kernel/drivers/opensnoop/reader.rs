// SPDX-License-Identifier: GPL-2.0

//! An open file of `/dev/opensnoop`: a stream of lines, each of which goes to one reader.

use kernel::{
    fs::File,
    iov::IovIterDest,
    new_mutex,
    prelude::*,
    str::Formatter,
    sync::{poll::PollTable, Arc, Mutex},
};
use kit::{
    file::{Events, Io, Operations},
    probe::Probe,
};

use crate::{event::LINE_LEN, snoop::Snoop};

/// How many bytes one call gives at most, or a little more: while files are opened without end there
/// is always another line, and a signal has to wait for the call.
const MOST: usize = 1 << 16;

/// An open file.
#[pin_data]
pub(crate) struct Reader {
    probe: Arc<Probe<Snoop>>,
    #[pin]
    line: Mutex<Line>,
}

/// A line that a reader is being given, in as many parts as it wants.
struct Line {
    text: [u8; LINE_LEN],
    given: usize,
    len: usize,
}

impl Line {
    /// Gives what is there, then line after line, until there are no more or the reader has enough.
    /// What did not fit stays for the next time. Fails with `EFAULT` if the reader's memory is bad.
    fn give(&mut self, snoop: &Snoop, to: &mut IovIterDest<'_>) -> Result<usize> {
        let mut total = 0;
        while !to.is_empty() && total < MOST && (self.given < self.len || self.next(snoop)?) {
            let count = to.copy_to_iter(&self.text[self.given..self.len]);
            if count == 0 {
                return if total == 0 { Err(EFAULT) } else { Ok(total) };
            }
            self.given += count;
            total += count;
        }
        Ok(total)
    }

    /// Goes on to the next line; false if there is none yet.
    fn next(&mut self, snoop: &Snoop) -> Result<bool> {
        let mut text = Formatter::new(&mut self.text);
        let any = snoop.tell(&mut text).map_err(|_| EOVERFLOW)?;
        (self.given, self.len) = (0, text.bytes_written());
        Ok(any)
    }
}

#[vtable]
impl Operations for Reader {
    type Shared = Probe<Snoop>;

    fn open(probe: Arc<Probe<Snoop>>, _: &File) -> impl PinInit<Self, Error> {
        let line = Line {
            text: [0; LINE_LEN],
            given: 0,
            len: 0,
        };
        try_pin_init!(Self {
            probe,
            line <- new_mutex!(line),
        })
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        let snoop = self.probe.handler();
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.line.lock().give(snoop, to)?;
            if count > 0 {
                return Ok(count);
            }
            if !io.may_wait() {
                return Err(EAGAIN);
            }
            snoop.readers.wait_until(|| snoop.has_news())?;
        }
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> Events {
        let snoop = self.probe.handler();
        snoop.readers.register(file, table);
        let line = self.line.lock();
        if line.given < line.len || snoop.has_news() {
            Events::READABLE
        } else {
            Events::NONE
        }
    }
}
