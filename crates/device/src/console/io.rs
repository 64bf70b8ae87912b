// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is typed and what is printed, and who is at the other end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::device::State;
use super::{FarEnd, KEPT};
use crate::bridge::{Bridge, Full, Side};
use crate::chain::{Chain, Readable};
use crate::device::{Answer, Handler, Waker};
use crate::error::{Error, Result};

/// How many bytes are copied for the file in one go.
const PIECE: usize = 16 << 10;

/// The other end.
#[derive(Debug)]
pub(super) enum End {
    /// A program.
    Bridge(Bridge),
    /// A file, to which is added.
    File(File),
}

impl End {
    /// Opens the file; a socket not yet.
    pub(super) fn new(far_end: &FarEnd) -> Result<Self> {
        match far_end {
            FarEnd::Socket(_) => Ok(Self::Bridge(Bridge::new(KEPT, Full::Forgets, 0)?)),
            FarEnd::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Ok(Self::File(file.map_err(Error::backing(format!("cannot write {}", path.display())))?))
            }
        }
    }

    pub(super) fn open(&self, path: &Path) -> Result<()> {
        match self {
            Self::Bridge(bridge) => bridge.open(path),
            Self::File(_) => Ok(()),
        }
    }

    pub(super) fn watch(&self, side: Side, waker: Waker) {
        if let Self::Bridge(bridge) = self {
            bridge.watch(side, waker);
        }
    }

    pub(super) fn forgotten(&self) -> u64 {
        match self {
            Self::Bridge(bridge) => bridge.forgotten(),
            Self::File(_) => 0,
        }
    }
}

/// What is typed.
pub(super) struct ToGuest {
    pub(super) state: Arc<State>,
}

impl Handler for ToGuest {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        // "The driver MUST NOT put a device-readable buffer in a receiveq" (5.3.6.1).
        if !chain.readable().is_empty() || chain.writable().is_empty() {
            return Answer::Broken("what is typed takes room for bytes, and nothing else");
        }
        let End::Bridge(bridge) = &self.state.end else { return Answer::NotYet };
        match bridge.give(&mut chain.writable()) {
            0 => Answer::NotYet,
            given => {
                chain.note(|| format!("{given} bytes were typed"));
                self.state.counters.typed.add(given as u64);
                Answer::Done(given as u32)
            }
        }
    }
}

/// What is printed.
pub(super) struct FromGuest {
    pub(super) state: Arc<State>,
    pub(super) line: Vec<u8>,
}

impl FromGuest {
    fn print(&mut self, mut bytes: Readable<'_>) {
        match &self.state.end {
            End::Bridge(bridge) => {
                bridge.take(&mut bytes);
            }
            End::File(file) => {
                self.line.resize(PIECE, 0);
                while !bytes.is_empty() {
                    let count = bytes.read(&mut self.line);
                    if let Err(error) = (&*file).write_all(&self.line[..count]) {
                        self.state.counters.failed.add(1);
                        tracing::warn!("what was printed is lost: {error}");
                        return;
                    }
                }
            }
        }
    }
}

impl Handler for FromGuest {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        // "The driver MUST NOT put a device-writable buffer in a transmitq" (5.3.6.1).
        if !chain.writable().is_empty() {
            return Answer::Broken("what is printed is bytes to read, and nothing else");
        }
        let count = chain.readable().len();
        chain.note(|| format!("{count} bytes were printed"));
        self.print(chain.readable());
        self.state.counters.printed.add(count as u64);
        Answer::Done(0)
    }
}
