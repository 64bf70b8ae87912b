// SPDX-License-Identifier: GPL-2.0

//! What waits at a gate, for what it is shut, and how many have been let pass.

use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        SpinLock,
    },
};
use kit::{
    block::Op,
    dm::{Arg, Bio, HeldList, Mapped},
    flag::Flag,
};

use crate::Gate;

/// What is kept waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shut {
    Reads,
    Writes,
    Flushes,
    All,
}

impl Shut {
    pub(crate) fn new(arg: Arg<'_>) -> Result<Self> {
        match arg.text().to_bytes() {
            b"reads" => Ok(Self::Reads),
            b"writes" => Ok(Self::Writes),
            b"flushes" => Ok(Self::Flushes),
            b"all" => Ok(Self::All),
            _ => Err(arg.wrong("is not one of reads, writes, flushes, all")),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Flushes => "flushes",
            Self::All => "all",
        }
    }

    fn is_for(self, op: Op) -> bool {
        match self {
            Self::Reads => op == Op::Read,
            Self::Writes => op != Op::Read && op != Op::Flush,
            Self::Flushes => op == Op::Flush,
            Self::All => true,
        }
    }
}

struct State {
    shut: Option<Shut>,
    /// From the beginning of a suspend to its end: then nothing may wait.
    suspended: bool,
    bios: HeldList<Gate>,
    count: u32,
}

/// What waits, and the counts of what has waited.
#[pin_data]
pub(crate) struct Waiting {
    /// Whether to look at the state: an open gate takes no lock.
    is_shut: Flag,
    /// Bios that waited and are done, and how many of them failed.
    pub(crate) done: Atomic<u64>,
    pub(crate) failed: Atomic<u64>,
    #[pin]
    state: SpinLock<State>,
}

impl Waiting {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            is_shut: Flag::new(false),
            done: Atomic::new(0),
            failed: Atomic::new(0),
            state <- new_spinlock!(State {
                shut: None,
                suspended: false,
                bios: HeldList::new(),
                count: 0,
            }),
        })
    }

    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// For what the gate is shut, and how many wait.
    pub(crate) fn state(&self) -> (Option<Shut>, u32) {
        let state = self.state.lock();
        (state.shut, state.count)
    }

    /// Shuts the gate; `EBUSY` if it is suspended.
    pub(crate) fn shut(&self, what: Shut) -> Result {
        let mut state = self.state.lock();
        if state.suspended {
            return Err(EBUSY);
        }
        state.shut = Some(what);
        self.is_shut.set(true);
        Ok(())
    }

    /// Opens the gate; what waited is the caller's.
    pub(crate) fn open(&self) -> HeldList<Gate> {
        let mut state = self.state.lock();
        state.shut = None;
        state.count = 0;
        self.is_shut.set(false);
        core::mem::take(&mut state.bios)
    }

    /// Begins or ends a time in which the gate cannot be shut.
    pub(crate) fn suspend(&self, suspended: bool) {
        self.state.lock().suspended = suspended;
    }

    /// Lets a bio wait, or gives it back if it need not.
    #[cold]
    pub(crate) fn hold<'a>(&self, mut bio: Bio<'a, Gate>) -> Result<Mapped<'a>, Bio<'a, Gate>> {
        let mut state = self.state.lock();
        if !state.shut.is_some_and(|what| what.is_for(bio.op())) {
            return Err(bio);
        }
        bio.data_mut().waited = true;
        let (mapped, bio) = bio.hold();
        state.bios.push(bio);
        state.count += 1;
        Ok(mapped)
    }

    /// Counts a bio that has waited and is done.
    pub(crate) fn ended(&self, failed: bool) {
        self.done.fetch_add(1, Relaxed);
        if failed {
            self.failed.fetch_add(1, Relaxed);
        }
    }
}
