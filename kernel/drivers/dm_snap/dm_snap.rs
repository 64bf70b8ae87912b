// SPDX-License-Identifier: GPL-2.0

//! `dm_snap`: a device-mapper target that is a writable view of a disk, which stays as it is.
//!
//! A table's line names the disk below, the origin, the sector of it to begin at, and, if wanted,
//! how much memory the view may take, in MiB:
//!
//! ```text
//! echo "0 65536 snap /dev/simblk0 0 16" | dmsetup create view
//! dmsetup message view 0 reset
//! ```
//!
//! What is written to the view is kept in memory, and read from there; all else is read from the
//! origin, which is opened for reading only and must not be changed by others. The view is made at
//! once, whatever its size, and takes memory for what is written to it. `reset` forgets all of
//! that. So does removing it; loading another table with the very same line before the end does
//! not.
//!
//! - A discard makes sectors zero, not what the origin has.
//! - A flush has nothing to do: what is written is as safe as it will get.
//! - Over the cap, a write fails with "no space left". The cap is a number of pages, of data and of
//!   the tables that find them.
//! - Who has the view open when it is reset keeps what the page cache has read: unmount first.

#![deny(unsafe_code)]

mod views;

use core::fmt::Write;

use kernel::{fmt, prelude::*, sync::Arc};
use kit::{
    block::{Op, Status},
    dm::{
        Args, Bio, Ctr, Device, Features, Hints, Instance, Mapped, Registration, Target,
        TargetType, Text, Visit, Visitor,
    },
    global::Holder,
    mem::{
        overlay::{Part, Usage},
        StoreError, Wait, PAGE_SIZE,
    },
    noio::NoIo,
};

use crate::views::{Contents, Place, Views, VIEWS};

module! {
    type: SnapModule,
    name: "dm_snap",
    authors: ["Blockyard developers"],
    description: "Device-mapper target that is a copy-on-write view of a disk, in memory",
    license: "GPL",
}

kit::module_version!("1.0.0");

/// Sectors of the largest discard: 1 GiB, so that no single one keeps a CPU for long.
const MAX_DISCARD_SECTORS: u32 = 1 << 21;

static SNAP: TargetType<Snap> = TargetType::new();

/// The loaded module. The order of the fields is the order in which they go.
struct SnapModule {
    _registration: Registration<Snap>,
    _views: Holder<Views>,
}

impl kernel::Module for SnapModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let views = VIEWS.set(Views::new()?)?;
        Ok(Self {
            _registration: SNAP.register()?,
            _views: views,
        })
    }
}

/// A view.
struct Snap {
    origin: Device,
    start: u64,
    /// Most memory, in MiB.
    cap: Option<u32>,
    contents: Contents,
}

#[vtable]
impl Target for Snap {
    const NAME: &'static CStr = c"snap";
    const VERSION: [u32; 3] = [1, 0, 0];
    const FEATURES: Features = Features::NOWAIT;
    type PerBio = ();

    fn ctr(ti: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>> {
        args.at_least(2, "ORIGIN START [MAX_MIB]")?;
        let origin = ti.device_read_only(args.next("origin")?)?;
        let arg = args.next("start sector")?;
        let start = arg.number()?;
        ti.check_range(&origin, arg, start, ti.len())?;
        let cap = match args.left() {
            0 => None,
            _ => Some(args.next("most memory in MiB")?.number()?),
        };
        args.end()?;
        ti.discard_bios(1);
        ti.discards_supported();
        ti.write_zeroes_bios(1);
        ti.limit_swap_bios();
        let views: Arc<Views> = VIEWS.get().ok_or(ENODEV)?;
        let contents = views.open(Place::new(ti, &origin, start)?)?;
        Ok(try_init!(Self {
            origin,
            start,
            cap,
            contents,
        }))
    }

    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        let wait = if bio.nowait() {
            Wait::Forbidden
        } else {
            Wait::Allowed
        };
        let (at, sectors) = (bio.sector(), bio.sectors());
        let done = match bio.op() {
            Op::Read => return self.read(bio),
            Op::Write => self.contents.write(at, bio.segments(), wait),
            Op::Discard | Op::WriteZeroes => self.contents.zero(at, sectors.into(), wait),
            Op::Flush => Ok(()),
            Op::Other(_) => return bio.complete(Err(Status::NotSupported)),
        };
        let result = done.map_err(|error| match error {
            StoreError::NoMemory if bio.nowait() => Status::Again,
            error => error.into(),
        });
        bio.complete(result)
    }

    fn resume(&self, _: Instance<'_>) {
        let pages = self.cap.map(|mib| (u64::from(mib) << 20) / PAGE_SIZE);
        self.contents.set_cap(pages);
    }

    fn info(&self, _: Instance<'_>, out: &mut Text<'_>) -> fmt::Result {
        let Usage { data, tables } = self.contents.usage();
        write!(out, "{data} data pages, {tables} table pages")
    }

    fn table(&self, out: &mut Text<'_>) -> fmt::Result {
        write!(out, "{} {}", self.origin, self.start)?;
        self.cap.map_or(Ok(()), |mib| write!(out, " {mib}"))
    }

    fn message(&self, _: Instance<'_>, args: &mut Args<'_>, _reply: &mut Text<'_>) -> Result {
        args.exactly(1, "reset")?;
        let command = args.next("command")?;
        if !command.is("reset") {
            return Err(command.wrong("is not 'reset'"));
        }
        // The device may be suspended: memory that it would have to be written to for may not be waited for.
        let _no_io = NoIo::enter();
        self.contents.reset()
    }

    fn iterate_devices(&self, visitor: &mut Visitor<'_>) -> Visit {
        visitor.visit(&self.origin, self.start, visitor.len())
    }

    fn io_hints(&self, _: Instance<'_>, hints: &mut Hints<'_>) {
        hints.set_max_hw_discard_sectors(MAX_DISCARD_SECTORS);
        hints.set_discard_granularity(PAGE_SIZE as u32);
    }
}

impl Snap {
    /// Serves as many sectors as are of one kind. The rest comes as another bio.
    fn read<'a>(&self, mut bio: Bio<'a, Self>) -> Mapped<'a> {
        let at = bio.sector();
        let (part, sectors) = match self.contents.read(at, bio.segments()) {
            Ok(part @ (Part::Filled(sectors) | Part::Below(sectors))) => (part, sectors),
            Err(error) => return bio.complete(Err(error.into())),
        };
        if bio.accept_partial(sectors).is_err() {
            return bio.complete(Err(Status::Io));
        }
        match part {
            Part::Filled(_) => bio.complete(Ok(())),
            Part::Below(_) => bio.remap(&self.origin, self.start + at),
        }
    }
}
