// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the machine lives, and if not, what it died of.
//!
//! "The connection was lost" helps nobody. A machine that is gone has left a console log, an exit status and
//! perhaps a note of who ended it; from these the cause is named: a kernel panic with its reason, an agent that
//! could not boot, a QEMU that was killed or refused its command line, a guest that somebody stopped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blockyard_proto::{CONSOLE_BOOT_FAILED, CONSOLE_PREFIX};

use crate::error::{Error, Kind, Result};
use crate::process::Child;
use crate::qemu::names;
use crate::registry;
use crate::vhost_user::Backends;

/// What QEMU itself has to say.
pub(crate) const QEMU_LOG: &str = "qemu.log";
/// How many bytes of the console's end are looked at: a guest that logs in a loop makes a file of gigabytes.
const CONSOLE: u64 = 4 << 20;
/// Lines of the console that an error shows.
const TAIL: usize = 20;
/// As many if the kernel tells in them what it died of: its registers and its call trace take some sixty.
const TAIL_OF_DEATH: usize = 100;
/// How it begins to.
const DEATH: [&str; 3] = ["BUG: ", "Oops: ", "Kernel panic - not syncing: "];
/// A QEMU that has closed its sockets is about to end.
const ENDING: Duration = Duration::from_secs(5);

/// The life signs of one machine.
#[derive(Debug)]
pub struct Vitals {
    runtime: PathBuf,
    qemu_pid: u32,
    /// A visitor has no child to ask.
    qemu: Option<Mutex<Child>>,
    booted: std::sync::atomic::AtomicBool,
    // After QEMU, which ends first.
    backends: Arc<Backends>,
}

impl Vitals {
    /// Of a machine whose QEMU is our child, as are the backends of its devices.
    pub(crate) fn of_child(runtime: &Path, qemu: Child, backends: Arc<Backends>) -> Self {
        let (runtime, qemu_pid) = (runtime.to_owned(), qemu.id());
        Self { runtime, qemu_pid, qemu: Some(Mutex::new(qemu)), booted: false.into(), backends }
    }

    /// Of a machine that another process owns.
    pub(crate) fn of_another(runtime: &Path, qemu_pid: u32) -> Self {
        let backends = Arc::default();
        Self { runtime: runtime.to_owned(), qemu_pid, qemu: None, booted: true.into(), backends }
    }

    pub(crate) fn qemu_pid(&self) -> u32 {
        self.qemu_pid
    }

    /// From now on an end is a death, not a failed boot.
    pub(crate) fn has_booted(&self) {
        self.booted.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// An error with the cause if QEMU has ended, or what serves one of its devices.
    pub(crate) fn check(&self) -> Result<()> {
        self.backends.check()?;
        match self.exit_status(Duration::ZERO)? {
            Some(status) => Err(self.verdict(Some(status))),
            None if self.qemu.is_none() && !Path::new(&format!("/proc/{}", self.qemu_pid)).exists() => {
                Err(self.verdict(None))
            }
            None => Ok(()),
        }
    }

    /// The cause of death of a machine whose sockets have closed.
    pub(crate) fn autopsy(&self) -> Error {
        let status = self.exit_status(ENDING);
        // A device that nobody serves any more may be what QEMU died of.
        match self.backends.check().and(status) {
            Ok(status) => self.verdict(status),
            Err(error) => error,
        }
    }

    /// An error for a machine that runs and says nothing.
    pub(crate) fn silent(&self, message: &str) -> Error {
        self.with_console(Error::new(if self.is_booting() { Kind::Boot } else { Kind::MachineDied }, message))
    }

    /// Waits for QEMU's end; ends it at the limit.
    pub(crate) fn end(&self, limit: Duration) -> Result<()> {
        if self.exit_status(limit)?.is_none() {
            self.kill()?;
        }
        Ok(())
    }

    /// Ends QEMU at once.
    pub(crate) fn kill(&self) -> Result<()> {
        match &self.qemu {
            Some(qemu) => qemu.lock().unwrap_or_else(PoisonError::into_inner).end_now().map(drop),
            None => Ok(()),
        }
    }

    /// What the serial console has said of late: all of it, unless it is very long.
    pub(crate) fn console(&self) -> String {
        let bytes = last_lines(&self.runtime.join(names::CONSOLE_LOG), CONSOLE).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    fn is_booting(&self) -> bool {
        !self.booted.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn exit_status(&self, limit: Duration) -> Result<Option<ExitStatus>> {
        let Some(qemu) = &self.qemu else { return Ok(None) };
        let mut qemu = qemu.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.is_zero() { qemu.try_wait() } else { qemu.wait(Some(limit)) }
    }

    fn verdict(&self, status: Option<ExitStatus>) -> Error {
        let console = self.console();
        let kind = if self.is_booting() { Kind::Boot } else { Kind::MachineDied };
        let qemu_said = std::fs::read_to_string(self.runtime.join(QEMU_LOG)).unwrap_or_default();
        let stopped = registry::was_stopped(&self.runtime);
        self.with_console(Error::new(kind, cause(&console, &qemu_said, status, stopped)))
    }

    fn with_console(&self, error: Error) -> Error {
        let console = self.console();
        let lines: Vec<&str> = console.lines().collect();
        let tail = end_of(&lines);
        if tail.is_empty() { error } else { error.with_source(Tail(tail.join("\n  "))) }
    }
}

/// The lines at the end of a file that have so many bytes in all.
fn last_lines(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(limit);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    if skipped > 0 {
        // Half a line would lack its time, or say another thing.
        let rest = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..rest);
    }
    Ok(bytes)
}

/// What a machine died of, in one sentence.
fn cause(console: &str, qemu_said: &str, status: Option<ExitStatus>, stopped: bool) -> String {
    if stopped {
        return "the guest was ended by `blockyard stop`".into();
    }
    if let Some(reason) = after(console, &format!("{CONSOLE_PREFIX}{CONSOLE_BOOT_FAILED}")) {
        return format!("the agent could not boot the guest: {reason}");
    }
    if let Some(reason) = after(console, "Kernel panic - not syncing: ") {
        return format!("the guest's kernel panicked: {reason}");
    }
    if let Some(image) = after(qemu_said, "Is another process using the image [") {
        let image = image.trim_end_matches("]?");
        return format!("the image {image} is locked: another guest or program uses it");
    }
    match status.map(|status| (status.code(), status.signal())) {
        Some((_, Some(signal))) => format!("QEMU was killed by signal {signal}"),
        Some((Some(0), _)) => "the guest reset or powered itself off".into(),
        Some((code, _)) => {
            let said =
                qemu_said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            format!("QEMU ended with exit code {}: {}", code.unwrap_or(-1), said.trim())
        }
        None => "the machine is gone".into(),
    }
}

/// The end of the console: a few lines, or all from where the kernel began to tell what it died of.
fn end_of<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let last = |count: usize| &lines[lines.len().saturating_sub(count)..];
    let long = last(TAIL_OF_DEATH);
    let begins = long.iter().position(|line| DEATH.iter().any(|mark| line.contains(mark)));
    begins.map(|at| &long[at..]).filter(|death| death.len() > TAIL).unwrap_or_else(|| last(TAIL))
}

/// The rest of the last line that holds `mark`.
fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.lines().rev().find_map(|line| line.split_once(mark)).map(|(_, rest)| rest.trim())
}

/// The end of the console, as the cause under an error.
#[derive(Debug, thiserror::Error)]
#[error("the console ends with:\n  {0}")]
struct Tail(String);

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &str =
        "[    3.1] x\n[    3.2] Kernel panic - not syncing: sysrq triggered crash\n[    3.3] CPU: 0";

    #[test]
    fn a_panic_is_named_before_the_reset_that_it_causes() {
        let named = cause(PANIC, "", Some(ExitStatus::from_raw(0)), false);
        assert_eq!(named, "the guest's kernel panicked: sysrq triggered crash");
    }

    #[test]
    fn a_trace_is_shown_from_its_first_line() {
        let line = |n: usize| format!("[    {n}.0] line");
        let mut console: Vec<String> = (0..300).map(line).collect();
        let end = |console: &[String]| {
            let lines: Vec<_> = console.iter().map(String::as_str).collect();
            end_of(&lines).iter().map(|line| line.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(end(&console), console[280..]);
        console[250] = "[  250.0] BUG: kernel NULL pointer dereference, address: 0".into();
        console[290] = "[  290.0] Kernel panic - not syncing: Fatal exception".into();
        assert_eq!(end(&console), console[250..]);
        console[250] = line(250);
        assert_eq!(end(&console), console[280..], "a short end has what comes before");
        console[10] = "[   10.0] Oops: in a life before".into();
        assert_eq!(end(&console), console[280..]);
    }

    #[test]
    fn an_agent_that_gave_up_is_named_with_its_reason() {
        let console = format!("{CONSOLE_PREFIX}{CONSOLE_BOOT_FAILED}no disk blockyard-root\n{PANIC}");
        assert!(cause(&console, "", None, false).ends_with("no disk blockyard-root"));
    }

    #[test]
    fn a_killed_qemu_a_refused_command_line_and_a_stop_differ() {
        assert_eq!(cause("", "", Some(ExitStatus::from_raw(9)), false), "QEMU was killed by signal 9");
        let refused = cause("", "qemu: -device: no such bus\n\n", Some(ExitStatus::from_raw(1 << 8)), false);
        assert_eq!(refused, "QEMU ended with exit code 1: qemu: -device: no such bus");
        assert!(cause(PANIC, "", None, true).contains("blockyard stop"));
    }

    #[test]
    fn an_image_in_use_is_named() {
        let said = "qemu: Failed to get \"write\" lock\nIs another process using the image [/a/disk.img]?\n";
        let named = cause("", said, Some(ExitStatus::from_raw(1 << 8)), false);
        assert_eq!(named, "the image /a/disk.img is locked: another guest or program uses it");
    }

    #[test]
    fn only_whole_lines_of_a_long_consoles_end_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\nsecond\nthird\n").unwrap();
        let end = |limit| String::from_utf8(last_lines(file.path(), limit).unwrap()).unwrap();
        assert_eq!(end(100), "first\nsecond\nthird\n");
        assert_eq!(end(10), "third\n");
        assert_eq!(end(3), "");
    }
}
