// SPDX-License-Identifier: GPL-2.0

//! `dm_gate`: a device-mapper target that can be shut. What comes to it then waits, until it is
//! opened again.
//!
//! ```text
//! echo "0 2048 gate /dev/simblk0 0" | dmsetup create gated
//! dmsetup message gated 0 shut writes
//! dmsetup status gated
//! dmsetup message gated 0 open
//! ```
//!
//! So a test can look at the moment before a write, or a flush, is done. The status says for what
//! the gate is shut (or `open`), how many bios wait, how many have waited and are done, and how
//! many of those failed.
//!
//! A gate that is suspended opens: a suspend that flushes lets what waits pass, and one that does
//! not gives it back to the device mapper, for the table that is there after the resume.

#![deny(unsafe_code)]

mod waiting;

use core::fmt::Write;

use kernel::{fmt, prelude::*, sync::atomic::Relaxed};
use kit::dm::{
    Args, Bio, Ctr, Device, Ended, Ending, HeldList, Instance, Mapped, Registration, Target,
    TargetType, Text, Visit, Visitor,
};

use crate::waiting::{Shut, Waiting};

module! {
    type: GateModule,
    name: "dm_gate",
    authors: ["Blockyard developers"],
    description: "Device-mapper target that lets I/O wait",
    license: "GPL",
}

kit::module_version!("1.0.0");

static GATE: TargetType<Gate> = TargetType::new();

struct GateModule {
    _registration: Registration<Gate>,
}

impl kernel::Module for GateModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registration: GATE.register()?,
        })
    }
}

/// What is kept with each bio.
#[derive(Default)]
struct Passage {
    waited: bool,
}

/// The target.
#[pin_data]
struct Gate {
    device: Device,
    start: u64,
    #[pin]
    waiting: Waiting,
}

impl Gate {
    fn pass<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        let sector = self.start + bio.sector();
        bio.remap(&self.device, sector)
    }

    fn let_pass(&self, mut bios: HeldList<Self>) {
        while let Some(bio) = bios.pop() {
            let sector = self.start + bio.sector();
            bio.submit(&self.device, sector);
        }
    }
}

#[vtable]
impl Target for Gate {
    const NAME: &'static CStr = c"gate";
    const VERSION: [u32; 3] = [1, 0, 0];
    type PerBio = Passage;

    fn ctr(ti: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>> {
        args.exactly(2, "DEVICE START")?;
        let device = ti.device(args.next("device")?)?;
        let arg = args.next("start sector")?;
        let start = arg.number()?;
        ti.check_range(&device, arg, start, ti.len())?;
        ti.bios(1);
        Ok(try_pin_init!(Self {
            device,
            start,
            waiting <- Waiting::new(),
        }))
    }

    #[inline]
    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        if !self.waiting.is_shut() {
            return self.pass(bio);
        }
        match self.waiting.hold(bio) {
            Ok(mapped) => mapped,
            Err(bio) => self.pass(bio),
        }
    }

    fn end_io<'a>(&self, bio: Ended<'a, Self>) -> Ending<'a> {
        if bio.data().waited {
            self.waiting.ended(bio.errno() != 0);
        }
        bio.done()
    }

    fn info(&self, _ti: Instance<'_>, out: &mut Text<'_>) -> fmt::Result {
        let (shut, count) = self.waiting.state();
        let done = self.waiting.done.load(Relaxed);
        let failed = self.waiting.failed.load(Relaxed);
        let shut = shut.map_or("open", Shut::name);
        write!(out, "{shut} {count} {done} {failed}")
    }

    fn table(&self, out: &mut Text<'_>) -> fmt::Result {
        write!(out, "{} {}", self.device, self.start)
    }

    fn message(&self, _: Instance<'_>, args: &mut Args<'_>, _reply: &mut Text<'_>) -> Result {
        let command = args.next("command")?;
        if command.is("shut") {
            let what = Shut::new(args.next("what")?)?;
            args.end()?;
            self.waiting.shut(what)
        } else if command.is("open") {
            args.end()?;
            self.let_pass(self.waiting.open());
            Ok(())
        } else {
            Err(command.wrong("is neither 'shut' nor 'open'"))
        }
    }

    fn presuspend(&self, ti: Instance<'_>) {
        self.waiting.suspend(true);
        let mut bios = self.waiting.open();
        if !ti.is_noflush_suspending() {
            return self.let_pass(bios);
        }
        while let Some(bio) = bios.pop() {
            bio.requeue();
        }
    }

    fn presuspend_undo(&self, _ti: Instance<'_>) {
        self.waiting.suspend(false);
    }

    fn resume(&self, _ti: Instance<'_>) {
        self.waiting.suspend(false);
    }

    fn iterate_devices(&self, visitor: &mut Visitor<'_>) -> Visit {
        visitor.visit(&self.device, self.start, visitor.len())
    }
}
