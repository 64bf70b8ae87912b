// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab itself, against another: how long it takes from a command line to the first answer of a guest, on the very same
//! kernel image.
//!
//! That is measured on the host, from outside: each contender is a command that boots a guest, has it print a word, and
//! ends; the time is from the start of the command to the word.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blockyard_lab::process::{self, Command};
use blockyard_lab::progress::Job;
use blockyard_lab::{Accel, Error, Kernel, Kind, Machine, QemuChoice, Result};

use crate::report::{Missing, Session, Unit};
use crate::rounds::{ROUNDS, Series};
use crate::{clock::Clock, facts, target::target};

/// The subject's name.
pub const SUBJECT: &str = "lab";
/// The peer's. Its version is in what it prints for `--version`.
pub const PEER: &str = "virtme-ng";
/// What both do.
const WORKLOAD: &str = "command-to-answer";
/// The word that the guest prints, as no command line has it: the shell puts it together.
const SAY: &str = "echo first-$((40+2))";
const SAID: &str = "first-42";
const PATIENCE: Duration = Duration::from_secs(180);

/// Measures. `command` is ours: `blockyard exec` with the options that choose the kernel.
pub fn measure(kernel: &Kernel, accel: Accel, command: &[OsString], job: &mut Job) -> Result<Session> {
    let guest = Machine::builder().kernel(kernel).accel(accel).qemu(QemuChoice::System).boot()?;
    let fast = guest.accel().to_string() == "kvm";
    let facts = facts::guest(&guest, 0, 0)?;
    let plan_9 = guest.exec("grep -qw 9p /proc/filesystems")?.status.success();
    guest.finish()?;
    let session = |comparisons, missing| Session { clock: Clock::Wall, guest: facts, comparisons, missing };
    let vng = match contender(plan_9) {
        Ok(vng) => vng,
        Err(why) => return Ok(session(Vec::new(), vec![Missing { name: PEER.into(), why }])),
    };
    let ours = || {
        let [program, options @ ..] = command else {
            return Err(Error::new(Kind::Usage, "there is no command of ours to measure"));
        };
        answer(Command::new(program).args(options).args(["--", "sh", "-c", SAY]))
    };
    let theirs = || answer(virtme_ng(&vng, &kernel.image(), fast));
    let mut series = Series::of(2);
    for round in 0..=ROUNDS {
        job.detail(&format!("{SUBJECT}: round {round} of {ROUNDS}"));
        let pair = [ours()?, theirs()?];
        if round > 0 {
            pair.into_iter()
                .enumerate()
                .for_each(|(at, time)| series.push(at, time.as_nanos() as f64, Vec::new()));
        }
    }
    let mut comparisons = series.comparisons(&[SUBJECT, PEER], WORKLOAD, Unit::Nanoseconds);
    for comparison in &mut comparisons {
        comparison.target = target(Clock::Wall, SUBJECT, PEER, WORKLOAD);
    }
    Ok(session(comparisons, Vec::new()))
}

/// virtme-ng, or what it lacks. It has the machine's own root in the guest: without a udevd there, it finds no way to the
/// command's output, and says nothing but 255.
fn contender(plan_9: bool) -> Result<PathBuf, String> {
    let vng = process::find_program("vng").ok_or("there is no `vng` in PATH (pip install virtme-ng)")?;
    if !plan_9 {
        return Err("its root is a 9p file system, of which this kernel has none (--config kernel/config/bench.config)".into());
    }
    let udevd = ["/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "udevd"];
    if !udevd.iter().any(|program| process::find_program(program).is_some()) {
        return Err("it needs a udevd on this machine (apt install udev)".into());
    }
    Ok(vng)
}

/// virtme-ng insists on a terminal, which `script` gives it. Without a daemon for virtiofs, the root is shared by 9p.
fn virtme_ng(vng: &Path, image: &Path, fast: bool) -> Command<'static> {
    let how = if fast { "" } else { "--disable-kvm --disable-microvm" };
    let line = format!("{} --run {} {how} --user root --exec '{SAY}'", vng.display(), image.display());
    Command::new("script").args(["-q", "-e", "-c", &line, "/dev/null"])
}

/// From the start of the command to its guest's word.
fn answer(command: Command<'static>) -> Result<Duration> {
    let begun = Instant::now();
    let mut said = None;
    command
        .deadline(PATIENCE)
        .on_line(|_, line| {
            if line.contains(SAID) && said.is_none() {
                said = Some(begun.elapsed());
            }
        })
        .run()?;
    said.ok_or_else(|| Error::new(Kind::Guest, format!("the command ended without {SAID:?}")))
}
