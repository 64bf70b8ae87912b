// SPDX-License-Identifier: GPL-2.0

//! `dm_hello`: a device-mapper target that passes everything on to the device below.
//!
//! A table's line names a device and the sector of it to begin at:
//!
//! ```text
//! echo "0 2048 hello /dev/simblk0 128" | dmsetup create greeting
//! ```
//!
//! Sector 0 of `/dev/mapper/greeting` is then sector 128 of `/dev/simblk0`. To see each bio in
//! `dmesg`, send the target a message, `dmsetup message greeting 0 log on`.

#![deny(unsafe_code)]

use core::fmt::Write;

use kernel::{fmt, prelude::*};
use kit::{
    dm::{
        Args, Bio, Ctr, Device, Features, Instance, Mapped, Passthrough, Registration, Target,
        TargetType, Text, Visit, Visitor,
    },
    flag::Flag,
};

module! {
    type: HelloModule,
    name: "dm_hello",
    authors: ["Blockyard developers"],
    description: "Device-mapper target that passes everything on",
    license: "GPL",
}

kit::module_version!("1.0.0");

static HELLO: TargetType<Hello> = TargetType::new();

struct HelloModule {
    _registration: Registration<Hello>,
}

impl kernel::Module for HelloModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registration: HELLO.register()?,
        })
    }
}

/// The target: what the arguments of a table's line say.
struct Hello {
    device: Device,
    start: u64,
    /// Whether each bio is logged. Off costs one load and one branch.
    log: Flag,
}

#[vtable]
impl Target for Hello {
    const NAME: &'static CStr = c"hello";
    const VERSION: [u32; 3] = [1, 0, 0];
    const FEATURES: Features = Features::NOWAIT
        .and(Features::PASSES_INTEGRITY)
        .and(Features::PASSES_CRYPTO)
        .and(Features::ATOMIC_WRITES);
    type PerBio = ();

    fn ctr(ti: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>> {
        args.exactly(2, "DEVICE START")?;
        let device = ti.device(args.next("device")?)?;
        let arg = args.next("start sector")?;
        let start = arg.number()?;
        ti.check_range(&device, arg, start, ti.len())?;
        ti.bios(1);
        Ok(try_init!(Self {
            device,
            start,
            log: Flag::new(false),
        }))
    }

    #[inline]
    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        if self.log.get() {
            log(&bio);
        }
        let sector = self.start + bio.sector();
        bio.remap(&self.device, sector)
    }

    fn table(&self, out: &mut Text<'_>) -> fmt::Result {
        write!(out, "{} {}", self.device, self.start)
    }

    fn message(&self, _: Instance<'_>, args: &mut Args<'_>, _reply: &mut Text<'_>) -> Result {
        args.exactly(2, "log on|off")?;
        let command = args.next("command")?;
        if !command.is("log") {
            return Err(command.wrong("is not 'log'"));
        }
        let switch = args.next("switch")?;
        if !switch.is("on") && !switch.is("off") {
            return Err(switch.wrong("is neither 'on' nor 'off'"));
        }
        self.log.set(switch.is("on"));
        Ok(())
    }

    fn iterate_devices(&self, visitor: &mut Visitor<'_>) -> Visit {
        visitor.visit(&self.device, self.start, visitor.len())
    }

    fn prepare_ioctl(&self, ti: Instance<'_>) -> Result<Passthrough<'_>> {
        Ok(Passthrough {
            device: &self.device,
            whole: self.start == 0 && ti.len() == self.device.sectors(),
        })
    }
}

#[cold]
fn log(bio: &Bio<'_, Hello>) {
    bio.instance().debug(fmt!(
        "{:?} of {} sectors at {}{}{}",
        bio.op(),
        bio.sectors(),
        bio.sector(),
        if bio.preflush() { ", flush before" } else { "" },
        if bio.fua() { ", FUA" } else { "" },
    ));
}
