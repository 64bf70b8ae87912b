// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel log, followed from its first record to the end of the guest.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use blockyard_proto::{Channel, Request, Stream};

use super::session::Session;
use super::{Guest, lock};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::klog::{Line, parse};

/// How a line of ours in the log begins, which tells how far the log has been read.
const MARK: &str = "blockyard mark ";
/// How long a marker may take from the agent through the kernel to us, under KVM.
const LIMIT: Duration = Duration::from_secs(20);

/// The log so far, and a thread that adds to it.
#[derive(Debug)]
pub(super) struct KernelLog {
    shared: Arc<Shared>,
    marks: AtomicU32,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    grown: Condvar,
}

impl KernelLog {
    pub(super) fn follow(session: &Session) -> Result<Self> {
        let stream = session.request(Request::KernelLog)?;
        let shared = Arc::new(Shared::default());
        let log = shared.clone();
        thread::Builder::new()
            .name("kernel log".into())
            .spawn(move || log.collect(&stream))
            .context(Kind::Lab, || "cannot start a thread")?;
        Ok(Self { shared, marks: AtomicU32::new(0) })
    }

    /// Forgets what has been read up to the last mark, which is kept: it tells when that was.
    pub(super) fn turn_page(&self) {
        let mut lines = lock(&self.shared.lines);
        if let Some(mark) = lines.iter().rposition(|line| line.text.starts_with(MARK)) {
            lines.drain(..mark);
        }
    }

    /// When the last line came, in microseconds since the boot.
    pub(super) fn last_micros(&self) -> u64 {
        lock(&self.shared.lines).iter().rev().find_map(|line| line.micros).unwrap_or(0)
    }

    /// All that has been read, our own marks not among it.
    fn lines(&self) -> Vec<Line> {
        lock(&self.shared.lines).iter().filter(|line| !line.text.starts_with(MARK)).cloned().collect()
    }
}

impl Shared {
    /// Ends with the stream: at the latest when the machine is gone.
    fn collect(&self, stream: &Stream) {
        let mut pending = Vec::new();
        while let Ok(Some(bytes)) = stream.read(Channel::Out) {
            pending.extend_from_slice(&bytes);
            let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { continue };
            let whole: Vec<u8> = pending.drain(..=end).collect();
            // Lines that begin with a space are properties of the record before.
            let text = String::from_utf8_lossy(&whole).into_owned();
            let records = text.lines().filter(|line| !line.starts_with(' '));
            lock(&self.lines).extend(records.filter_map(parse::kmsg).flatten());
            self.grown.notify_all();
        }
    }

    fn wait_for(&self, mark: &str, deadline: Instant) -> Result<bool> {
        let mut lines = lock(&self.lines);
        while !lines.iter().rev().any(|line| line.text == mark) {
            interrupt::check()?;
            if Instant::now() > deadline {
                return Ok(false);
            }
            let tick = Duration::from_millis(100);
            lines = self.grown.wait_timeout(lines, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(true)
    }
}

impl Guest {
    /// The kernel log up to now, from the first record on or since [`turn_page`](Self::turn_page).
    pub fn dmesg(&self) -> Result<Vec<Line>> {
        let mark = format!("{MARK}{}", self.log.marks.fetch_add(1, Ordering::Relaxed));
        self.ask("reading the kernel log", Request::MarkKernelLog { text: mark.clone() }, LIMIT)?;
        let deadline = Instant::now() + self.accel().scale(LIMIT);
        if !self.log.shared.wait_for(&mark, deadline)? {
            self.session.vitals().check()?;
            return Err(Error::new(Kind::Timeout, "the kernel log could not be read to its end"));
        }
        Ok(self.log.lines())
    }

    /// What has been read of the kernel log without asking the guest: for when it no longer answers.
    pub fn dmesg_so_far(&self) -> Vec<Line> {
        self.log.lines()
    }
}
