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
//! So a test can look at the moment before a write, or a flush, is done. A gate that is suspended
//! opens: a suspend that flushes lets what waits pass, and one that does not gives it back to the
//! device mapper, for the table that is there after the resume.

#![deny(unsafe_code)]

use core::fmt::Write;

use kernel::{fmt, new_spinlock, prelude::*, sync::SpinLock};
use kit::{
    block::Op,
    dm::{
        Arg, Args, Bio, Ctr, Device, HeldList, Instance, Mapped, Registration, Target, TargetType,
        Text, Visit, Visitor,
    },
    flag::Flag,
};

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

/// What is kept waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shut {
    Reads,
    Writes,
    Flushes,
    All,
}

impl Shut {
    fn new(arg: Arg<'_>) -> Result<Self> {
        match arg.text().to_bytes() {
            b"reads" => Ok(Self::Reads),
            b"writes" => Ok(Self::Writes),
            b"flushes" => Ok(Self::Flushes),
            b"all" => Ok(Self::All),
            _ => Err(arg.wrong("is not one of reads, writes, flushes, all")),
        }
    }

    fn name(self) -> &'static str {
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

/// What waits, and for what the gate is shut.
struct Waiting {
    shut: Option<Shut>,
    /// From the beginning of a suspend to its end: then nothing may wait.
    suspended: bool,
    bios: HeldList<Gate>,
    count: u32,
}

/// The target.
#[pin_data]
struct Gate {
    device: Device,
    start: u64,
    /// Whether to look at `waiting`: an open gate takes no lock.
    is_shut: Flag,
    #[pin]
    waiting: SpinLock<Waiting>,
}

impl Gate {
    fn shut(&self, what: Shut) -> Result {
        let mut waiting = self.waiting.lock();
        if waiting.suspended {
            return Err(EBUSY);
        }
        waiting.shut = Some(what);
        self.is_shut.set(true);
        Ok(())
    }

    /// Opens the gate, for good if it is suspended; what waited is the caller's.
    fn open(&self, suspended: bool) -> HeldList<Self> {
        let mut waiting = self.waiting.lock();
        waiting.shut = None;
        waiting.suspended |= suspended;
        waiting.count = 0;
        self.is_shut.set(false);
        core::mem::take(&mut waiting.bios)
    }

    fn let_pass(&self, mut bios: HeldList<Self>) {
        while let Some(bio) = bios.pop() {
            let sector = self.start + bio.sector();
            bio.submit(&self.device, sector);
        }
    }

    #[cold]
    fn map_shut<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        let mut waiting = self.waiting.lock();
        if !waiting.shut.is_some_and(|what| what.is_for(bio.op())) {
            drop(waiting);
            return self.pass(bio);
        }
        let (mapped, bio) = bio.hold();
        waiting.bios.push(bio);
        waiting.count += 1;
        mapped
    }

    fn pass<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        let sector = self.start + bio.sector();
        bio.remap(&self.device, sector)
    }
}

#[vtable]
impl Target for Gate {
    const NAME: &'static CStr = c"gate";
    const VERSION: [u32; 3] = [1, 0, 0];
    type PerBio = ();

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
            is_shut: Flag::new(false),
            waiting <- new_spinlock!(Waiting {
                shut: None,
                suspended: false,
                bios: HeldList::new(),
                count: 0,
            }),
        }))
    }

    #[inline]
    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        if self.is_shut.get() {
            return self.map_shut(bio);
        }
        self.pass(bio)
    }

    fn info(&self, _ti: Instance<'_>, out: &mut Text<'_>) -> fmt::Result {
        let (shut, count) = {
            let waiting = self.waiting.lock();
            (waiting.shut, waiting.count)
        };
        write!(out, "{} {count}", shut.map_or("open", Shut::name))
    }

    fn table(&self, out: &mut Text<'_>) -> fmt::Result {
        write!(out, "{} {}", self.device, self.start)
    }

    fn message(&self, _: Instance<'_>, args: &mut Args<'_>, _reply: &mut Text<'_>) -> Result {
        let command = args.next("command")?;
        if command.is("shut") {
            let what = Shut::new(args.next("what")?)?;
            args.end()?;
            self.shut(what)?;
        } else if command.is("open") {
            args.end()?;
            self.let_pass(self.open(false));
        } else {
            return Err(command.wrong("is neither 'shut' nor 'open'"));
        }
        Ok(())
    }

    fn presuspend(&self, ti: Instance<'_>) {
        let mut bios = self.open(true);
        if !ti.is_noflush_suspending() {
            return self.let_pass(bios);
        }
        while let Some(bio) = bios.pop() {
            bio.requeue();
        }
    }

    fn presuspend_undo(&self, _ti: Instance<'_>) {
        self.waiting.lock().suspended = false;
    }

    fn resume(&self, _ti: Instance<'_>) {
        self.waiting.lock().suspended = false;
    }

    fn iterate_devices(&self, visitor: &mut Visitor<'_>) -> Visit {
        visitor.visit(&self.device, self.start, visitor.len())
    }
}
