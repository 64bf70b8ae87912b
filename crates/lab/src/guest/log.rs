// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel log, followed from its first record to the end of the guest.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use blockyard_proto::{Channel, Request, Stream};

use super::session::Session;
use super::{Guest, lock};
use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;
use crate::klog::thin::{Ends, size, thin};
use crate::klog::{Allow, Line, parse};

/// How a line of ours in the log begins, which tells how far the log has been read.
const MARK: &str = "blockyard mark ";
/// How long a marker may take from the agent through the kernel to us, under KVM.
const LIMIT: Duration = Duration::from_secs(20);

/// How much of a log is kept once it is longer than twice that: some hundred thousand lines.
const ENDS: Ends = Ends { first: 2 << 20, last: 8 << 20 };

/// The log so far, and a thread that adds to it.
#[derive(Debug)]
pub(super) struct KernelLog {
    shared: Arc<Shared>,
    marks: AtomicU32,
}

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    grown: Condvar,
    allowed: Vec<Allow>,
}

#[derive(Debug)]
struct Log {
    lines: Vec<Line>,
    /// Of all lines, in bytes.
    size: usize,
    /// How large they may become before some are left out.
    limit: usize,
    ends: Ends,
    /// Marks that somebody waits for and that have not been read yet.
    awaited: BTreeSet<u32>,
}

impl KernelLog {
    /// `allowed` is what the log will be judged by at last.
    pub(super) fn follow(session: &Session, allowed: &[Allow]) -> Result<Self> {
        let stream = session.request(Request::KernelLog)?;
        let (log, grown) = (Mutex::new(Log::new(ENDS)), Condvar::new());
        let shared = Arc::new(Shared { log, grown, allowed: allowed.to_vec() });
        let log = shared.clone();
        thread::Builder::new()
            .name("kernel log".into())
            .spawn(move || log.collect(&stream))
            .context(Kind::Lab, || "cannot start a thread")?;
        Ok(Self { shared, marks: AtomicU32::new(0) })
    }

    /// Forgets what has been read up to the last mark, which is kept: it tells when that was.
    pub(super) fn turn_page(&self) {
        lock(&self.shared.log).turn_page();
    }

    /// When the last line came, in microseconds since the boot.
    pub(super) fn last_micros(&self) -> u64 {
        lock(&self.shared.log).lines.iter().rev().find_map(|line| line.micros).unwrap_or(0)
    }

    /// All that has been read, our own marks not among it.
    fn lines(&self) -> Vec<Line> {
        let log = lock(&self.shared.log);
        log.lines.iter().filter(|line| !line.text.starts_with(MARK)).cloned().collect()
    }
}

impl Log {
    fn new(ends: Ends) -> Self {
        let limit = 2 * (ends.first + ends.last);
        Self { lines: Vec::new(), size: 0, limit, ends, awaited: BTreeSet::new() }
    }

    fn add(&mut self, lines: impl Iterator<Item = Line>, allowed: &[Allow]) {
        for line in lines {
            if let Some(mark) = line.text.strip_prefix(MARK).and_then(|number| number.parse().ok()) {
                self.awaited.remove(&mark);
            }
            self.size += size(&line);
            self.lines.push(line);
        }
        if self.size > self.limit {
            let mark = self.last_mark();
            self.lines = thin(std::mem::take(&mut self.lines), self.ends, allowed, mark);
            self.measure();
        }
    }

    fn turn_page(&mut self) {
        if let Some(mark) = self.last_mark() {
            self.lines.drain(..mark);
            self.measure();
        }
    }

    fn last_mark(&self) -> Option<usize> {
        self.lines.iter().rposition(|line| line.text.starts_with(MARK))
    }

    /// Complaints that are kept count too, so the limit may have to move: a log is not looked through for each line.
    fn measure(&mut self) {
        self.size = self.lines.iter().map(size).sum();
        self.limit = 2 * self.size.max(self.ends.first + self.ends.last);
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
            lock(&self.log).add(records.filter_map(parse::kmsg).flatten(), &self.allowed);
            self.grown.notify_all();
        }
    }

    fn wait_for(&self, mark: u32, deadline: Instant) -> Result<bool> {
        let mut log = lock(&self.log);
        while log.awaited.contains(&mark) {
            interrupt::check()?;
            if Instant::now() > deadline {
                return Ok(false);
            }
            let tick = Duration::from_millis(100);
            log = self.grown.wait_timeout(log, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(true)
    }
}

impl Guest {
    /// The kernel log up to now, from the first record on or since [`turn_page`](Self::turn_page). Of a
    /// very long one the middle is left out, but for the kernel's complaints; a line of
    /// [`Origin::Lab`](crate::klog::Origin::Lab) says so.
    pub fn dmesg(&self) -> Result<Vec<Line>> {
        let mark = self.log.marks.fetch_add(1, Ordering::Relaxed);
        // Before it is made: it may be read, and left out again, before anybody looks for it.
        lock(&self.log.shared.log).awaited.insert(mark);
        self.ask("reading the kernel log", Request::MarkKernelLog { text: format!("{MARK}{mark}") }, LIMIT)?;
        let deadline = Instant::now() + self.accel().scale(LIMIT);
        if !self.log.shared.wait_for(mark, deadline)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Ends = Ends { first: 4 << 10, last: 16 << 10 };

    fn chatter(log: &mut Log, count: usize) {
        let line = |n| Line::kernel(6, n as u64, format!("simblk: request {n}"));
        (0..count).for_each(|n| log.add(std::iter::once(line(n)), &[]));
    }

    #[test]
    fn a_driver_that_logs_in_a_loop_fills_no_memory_and_loses_no_complaint() {
        let mut log = Log::new(SMALL);
        chatter(&mut log, 5000);
        log.add(std::iter::once(Line::kernel(1, 0, "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2")), &[]);
        chatter(&mut log, 50_000);
        // A report without an end has the lines that follow, up to the longest that there is.
        assert!(log.size < 200 << 10, "{} bytes", log.size);
        assert_eq!(crate::klog::scan(&log.lines).len(), 1);
    }

    #[test]
    fn a_mark_is_seen_and_a_page_turned_however_much_follows() {
        let mut log = Log::new(SMALL);
        log.awaited.extend([7, 8]);
        chatter(&mut log, 1000);
        log.add(std::iter::once(Line::kernel(6, 0, format!("{MARK}7"))), &[]);
        chatter(&mut log, 5000);
        assert_eq!(log.awaited.iter().collect::<Vec<_>>(), [&8]);
        log.turn_page();
        assert_eq!(log.lines[0].text, format!("{MARK}7"));
    }
}
