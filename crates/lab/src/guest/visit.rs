// SPDX-License-Identifier: MIT OR Apache-2.0
//! Talking to a guest that another process booted.

use std::ops::Deref;
use std::time::{Duration, Instant};

use super::session::Session;
use super::vitals::Vitals;
use crate::error::Result;
use crate::progress;
use crate::qemu::names;
use crate::registry::{Lock, Registry};

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
        let door = dir.join("visitor.lock");
        let turn = match Lock::attempt(&door)? {
            Some(turn) => turn,
            None => {
                progress::note(format!("waiting for another command in {name} to end"));
                Lock::wait(&door)?
            }
        };
        let vitals = Vitals::of_another(&dir, info.qemu_pid);
        let deadline = Instant::now() + info.accel.scale(GREETING);
        let session = Session::open(&dir.join(names::VISITOR), info.accel, vitals, deadline)?;
        Ok(Self { session, _turn: turn })
    }
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
        if !crate::interrupt::pending() {
            self.session.leave();
        }
    }
}
