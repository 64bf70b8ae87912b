// SPDX-License-Identifier: GPL-2.0

//! Whose calls are reported, and `/sys/kernel/opensnoop`, where that can be changed.

use kernel::{
    fmt,
    prelude::*,
    str::{parse_int::ParseInt, BStr},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};
use kit::{
    kobject::{Attribute, AttributeOf, Kobject, Object},
    probe::{Caller, Probe},
};

use crate::snoop::Snoop;

/// Whose calls are reported: those of a process, of a user, of a user's process, or all.
///
/// The probe reads it without a lock; the two values are independent, so it matters to nobody
/// in which order it sees them change.
pub(crate) struct Filter {
    pid: Atomic<i32>,
    uid: Atomic<i64>,
}

impl Filter {
    const ANY_PROCESS: i32 = 0;
    const ANY_USER: i64 = -1;

    pub(crate) fn new() -> Self {
        Self {
            pid: Atomic::new(Self::ANY_PROCESS),
            uid: Atomic::new(Self::ANY_USER),
        }
    }

    pub(crate) fn set_pid(&self, pid: i32) -> Result {
        if pid < 0 {
            return Err(EINVAL);
        }
        self.pid.store(pid, Relaxed);
        Ok(())
    }

    pub(crate) fn set_uid(&self, uid: i64) -> Result {
        // The highest one stands for "no user".
        if !(Self::ANY_USER..u32::MAX.into()).contains(&uid) {
            return Err(EINVAL);
        }
        self.uid.store(uid, Relaxed);
        Ok(())
    }

    pub(crate) fn wants(&self, caller: &Caller) -> bool {
        let (pid, uid) = (self.pid.load(Relaxed), self.uid.load(Relaxed));
        (pid == Self::ANY_PROCESS || pid == caller.process())
            && (uid == Self::ANY_USER || uid == caller.uid().into())
    }
}

/// What is behind `/sys/kernel/opensnoop`.
pub(crate) struct Settings(pub(crate) Arc<Probe<Snoop>>);

impl Object for Settings {
    const ATTRIBUTES: &'static [AttributeOf<Self>] = &[
        AttributeOf::new::<Pid>(),
        AttributeOf::new::<Uid>(),
        AttributeOf::new::<Lost>(),
        AttributeOf::new::<Missed>(),
    ];
}

/// `pid`: the process whose calls are reported, 0 for all.
struct Pid;

#[vtable]
impl Attribute for Pid {
    type Object = Settings;
    const NAME: &'static CStr = c"pid";

    fn show(object: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", object.0.handler().filter.pid.load(Relaxed))
    }

    fn store(object: &Kobject<Settings>, text: &[u8]) -> Result {
        let pid = i32::from_str(BStr::from_bytes(text)).map_err(|_| EINVAL)?;
        object.0.handler().filter.set_pid(pid)
    }
}

/// `uid`: the user whose calls are reported, -1 for all.
struct Uid;

#[vtable]
impl Attribute for Uid {
    type Object = Settings;
    const NAME: &'static CStr = c"uid";

    fn show(object: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", object.0.handler().filter.uid.load(Relaxed))
    }

    fn store(object: &Kobject<Settings>, text: &[u8]) -> Result {
        let uid = i64::from_str(BStr::from_bytes(text)).map_err(|_| EINVAL)?;
        object.0.handler().filter.set_uid(uid)
    }
}

/// `lost`: how many calls were not reported because nobody read fast enough.
struct Lost;

#[vtable]
impl Attribute for Lost {
    type Object = Settings;
    const NAME: &'static CStr = c"lost";

    fn show(object: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", object.0.handler().events.lost())
    }
}

/// `missed`: how many calls, of whomever, the probe did not see because another one was at work.
struct Missed;

#[vtable]
impl Attribute for Missed {
    type Object = Settings;
    const NAME: &'static CStr = c"missed";

    fn show(object: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", object.0.missed())
    }
}
