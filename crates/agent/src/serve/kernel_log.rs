// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel log: /dev/kmsg, record by record.

use std::fs::File;
use std::io::Read;

use blockyard_proto::{Channel, Outcome, Stream};

use crate::error::{Context, Error};

const KMSG: &str = "/dev/kmsg";

/// The longest record, as the kernel's printk defines it.
const RECORD: usize = 8 * 1024;

/// Facility 1 (user) and severity 4: a user's words, which the lab does not hold against the kernel.
const OVERRUN: &[u8] =
    b"12,0,0,-;records of the kernel log were lost: it was written faster than it could be read\n";

/// Sends the log from its first record on, until the lab has enough. Each record ends with a line feed; a line
/// that begins with a space belongs to the record before it.
pub fn send(stream: &Stream) -> Result<Outcome, Error> {
    let mut log = File::open(KMSG).context(|| format!("cannot open {KMSG}"))?;
    let mut record = vec![0; RECORD];
    loop {
        let sent = match log.read(&mut record) {
            Ok(n) => stream.write(Channel::Out, &record[..n]),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {
                stream.write(Channel::Out, OVERRUN)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(e) => return Err(e).context(|| format!("cannot read {KMSG}")),
        };
        if sent.is_err() {
            return Ok(Outcome::Done);
        }
    }
}

/// Writes a mark behind everything that the kernel had to say so far. Sync first: what is written back late
/// complains late.
pub fn mark(text: &str) -> Result<Outcome, Error> {
    rustix::fs::sync();
    std::fs::write(KMSG, format!("<14>{text}\n")).context(|| format!("cannot write to {KMSG}"))?;
    Ok(Outcome::Done)
}
