// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a guest in good order: the kernel log is read to its end and judged, then the machine is reset.

use std::time::Duration;

use blockyard_proto::{Event, Request};

use super::Guest;
use crate::error::{Kind, Result};
use crate::klog::{Line, Verdict, parse};

/// How long QEMU may take from the reset to its end, under KVM.
const RESET: Duration = Duration::from_secs(10);
/// kmemleak reports only what has been unreferenced for some seconds, and only from its second scan on.
const LEAK_SCANS: u32 = 2;
const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// What is known of a guest that has ended well.
#[derive(Debug)]
pub struct Report {
    /// The kernel log since the boot, or since the last page was turned.
    pub log: Vec<Line>,
    /// What the log said that the test had announced.
    pub allowed: Vec<crate::klog::Complaint>,
}

impl Guest {
    /// Ends the guest; an error of [`Kind::KernelLog`] if its kernel complained of anything that was not allowed.
    pub fn finish(self) -> Result<Report> {
        let (log, tainted) = self.evidence()?;
        self.reset()?;
        self.judge(&self.with_late_lines(log.clone()), tainted, log)
    }

    /// Judges what the kernel has said so far as [`finish`](Self::finish) does, and begins a new log: for a guest that
    /// goes on to another use.
    pub fn turn_page(&self) -> Result<Report> {
        let (log, tainted) = self.evidence()?;
        self.check("dmesg --clear")?;
        self.log.turn_page();
        self.judge(&log, tainted, log.clone())
    }

    /// The log up to now and the kernel's taint.
    fn evidence(&self) -> Result<(Vec<Line>, Option<u64>)> {
        self.session.vitals().check()?;
        if self.checked_kernel {
            self.scan_for_leaks()?;
        }
        Ok((self.dmesg()?, self.tainted()?))
    }

    fn judge(&self, said: &[Line], tainted: Option<u64>, log: Vec<Line>) -> Result<Report> {
        let verdict = Verdict::new(said, &self.allowed, tainted);
        let allowed = verdict.allowed.clone();
        verdict.into_result()?;
        Ok(Report { log, allowed })
    }

    fn tainted(&self) -> Result<Option<u64>> {
        let text = self.read("/proc/sys/kernel/tainted")?;
        Ok(String::from_utf8_lossy(&text).trim().parse().ok())
    }

    /// What kmemleak finds it says in the log.
    fn scan_for_leaks(&self) -> Result<()> {
        if self.exec(&format!("test -w {KMEMLEAK}"))?.status.success() {
            for _ in 0..LEAK_SCANS {
                self.check(&format!("echo scan >{KMEMLEAK}"))?;
            }
            self.check(&format!("cat {KMEMLEAK} >/dev/kmsg"))?;
        }
        Ok(())
    }

    /// What the console has said since the log was read: unmounting may be the moment of the splat.
    fn with_late_lines(&self, mut log: Vec<Line>) -> Vec<Line> {
        let last = self.log.last_micros();
        let console = parse::console(&self.session.vitals().console());
        log.extend(console.into_iter().filter(|line| line.micros.is_some_and(|micros| micros > last)));
        log
    }

    fn reset(&self) -> Result<()> {
        let stream = self.request(Request::Reset)?;
        let deadline = std::time::Instant::now() + self.accel().scale(RESET);
        loop {
            match self.next(&stream, Some(deadline)) {
                // The machine is gone, which is what was asked for.
                Err(e) if matches!(e.kind(), Kind::MachineDied) => break,
                Err(e) => return Err(e),
                Ok(Some(Event::Closed(outcome))) => super::session::done(outcome)?,
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        self.session.vitals().end(self.accel().scale(RESET))
    }
}
