// SPDX-License-Identifier: MIT OR Apache-2.0
//! Talking to a guest that another process booted.

use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use super::session::Session;
use super::vitals::Vitals;
use crate::error::{Error, Kind, Result};
use crate::qemu::names;
use crate::registry::{Attempt, DOOR, Lock, Registry};
use crate::{interrupt, progress};

/// How long the agent may take to greet a visitor, under KVM.
const GREETING: Duration = Duration::from_secs(10);

/// A visit to a running guest: one at a time, the next one waits.
#[derive(Debug)]
pub struct Visit {
    session: Session,
    _turn: Lock,
}

impl Visit {
    /// Visits the guest of this name.
    pub fn to(name: &str) -> Result<Self> {
        let (info, dir) = Registry::open()?.find(name)?;
        let vitals = Vitals::of_another(&dir, info.qemu_pid);
        let turn = turn(name, &dir.join(DOOR), &vitals)?;
        let deadline = Instant::now() + info.accel.scale(GREETING);
        let session = Session::open(&dir.join(names::VISITOR), info.accel, vitals, deadline)?;
        Ok(Self { session, _turn: turn })
    }
}

/// Waits until no other command is in the guest, for as long as there is a guest.
fn turn(name: &str, door: &Path, vitals: &Vitals) -> Result<Lock> {
    let ended = || {
        Error::new(Kind::NotFound, format!("the guest {name} has ended"))
            .with_help("`blockyard ps` lists those that run")
    };
    match Lock::attempt(door)? {
        Attempt::Taken(turn) => return Ok(turn),
        Attempt::Gone => return Err(ended()),
        Attempt::Held => progress::note(format!("waiting for another command in {name} to end")),
    }
    let look = || {
        interrupt::check()?;
        vitals.check()?;
        // Its QEMU's process number may be another program's by now.
        if door.exists() { Ok(()) } else { Err(ended()) }
    };
    Lock::wait(door, look)?.ok_or_else(ended)
}

impl Deref for Visit {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // A command that was cut off takes what it started with it; one that ended may leave a daemon.
        if !interrupt::pending() {
            self.session.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Command;
    use std::process::Stdio;

    /// A guest's folder whose door another visitor holds, and the process that stands for its QEMU.
    fn busy() -> (tempfile::TempDir, Lock, crate::process::Child) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DOOR), "").unwrap();
        let Attempt::Taken(other) = Lock::attempt(&dir.path().join(DOOR)).unwrap() else {
            panic!("nobody holds it")
        };
        let qemu = Command::new("tail").args(["-f", "/dev/null"]).spawn_with(Stdio::null(), Stdio::null());
        (dir, other, qemu.unwrap())
    }

    #[test]
    fn who_waits_for_a_turn_leaves_when_the_machine_dies() {
        let (dir, _other, mut qemu) = busy();
        let vitals = Vitals::of_another(dir.path(), qemu.id());
        qemu.end_now().unwrap();
        let error = turn("g", &dir.path().join(DOOR), &vitals).unwrap_err();
        assert_eq!(error.kind(), Kind::MachineDied);
    }

    #[test]
    fn who_comes_too_late_is_told_so_and_makes_nothing() {
        let (dir, _other, qemu) = busy();
        let (door, vitals) = (dir.path().join(DOOR), Vitals::of_another(dir.path(), qemu.id()));
        std::fs::remove_file(&door).unwrap();
        assert_eq!(turn("g", &door, &vitals).unwrap_err().kind(), Kind::NotFound);
        assert!(!door.exists(), "it would keep the folder from being removed");
    }
}
