// SPDX-License-Identifier: GPL-2.0

//! One call that opens a file, and the line that tells of it.

use kernel::{fmt, prelude::*, str::BStr};
use kit::probe::{Caller, SystemCall, NAME_LEN};

/// How many bytes of a path are kept.
const PATH_LEN: usize = 256;

/// The longest line: of path and name each byte may be printed as four characters, such as `\x7f`.
pub(crate) const LINE_LEN: usize = 4 * (PATH_LEN + NAME_LEN) + 64;

/// A call that opens a file.
pub(crate) struct Event {
    process: i32,
    uid: u32,
    name: [u8; NAME_LEN],
    call: Option<SystemCall>,
    path: [u8; PATH_LEN],
    /// The length of the whole path, of which there may be less in `path`.
    path_len: usize,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            process: 0,
            uid: 0,
            name: [0; NAME_LEN],
            call: None,
            path: [0; PATH_LEN],
            path_len: 0,
        }
    }
}

impl Event {
    /// Writes a call down. For a probe: it allocates nothing and does not sleep.
    pub(crate) fn record(&mut self, caller: &Caller, path: &CStr) {
        let path = path.to_bytes();
        let kept = path.len().min(PATH_LEN);
        self.path[..kept].copy_from_slice(&path[..kept]);
        self.path_len = path.len();
        self.process = caller.process();
        self.uid = caller.uid();
        self.name = caller.name();
        self.call = caller.system_call();
    }
}

/// The line, without its end: process, user, thread's name, system call, path. What is not
/// printable is escaped, so that no name looks like another line; `...` ends a path that was cut.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .name
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let (process, uid, name) = (self.process, self.uid, BStr::from_bytes(name));
        f.write_fmt(fmt!("{process:>7} {uid:>6} {name} "))?;
        match self.call {
            Some(call) => f.write_fmt(fmt!("{call} "))?,
            None => f.write_str("- ")?,
        }
        let path = BStr::from_bytes(&self.path[..self.path_len.min(PATH_LEN)]);
        let cut = if path.len() < self.path_len {
            "..."
        } else {
            ""
        };
        f.write_fmt(fmt!("{path}{cut}"))
    }
}
