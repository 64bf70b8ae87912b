// SPDX-License-Identifier: GPL-2.0

//! `dm_stripe2`: a device-mapper target that spreads a device over two or more others, chunk by
//! chunk, so that all of them work at a time.
//!
//! ```text
//! echo "0 4096 stripe2 2 128 /dev/simblk0 0 /dev/simblk1 0" | dmsetup create striped
//! ```
//!
//! The first chunk of 128 sectors is on the first device, the second one on the second, the third
//! on the first again. How sectors, and ranges of them, are divided is in `layout`.

#![deny(unsafe_code)]

mod layout;

use core::fmt::Write;

use kernel::{fmt, prelude::*};
use kit::{
    block::{Op, Status},
    dm::{
        Args, Bio, Ctr, Device, Features, Hints, Instance, Mapped, Registration, Target,
        TargetType, Text, Visit, Visitor,
    },
};

use crate::layout::Layout;

module! {
    type: Stripe2Module,
    name: "dm_stripe2",
    authors: ["Blockyard developers"],
    description: "Device-mapper target that spreads a device over others",
    license: "GPL",
}

kit::module_version!("1.0.0");

static STRIPE2: TargetType<Stripe2> = TargetType::new();

struct Stripe2Module {
    _registration: Registration<Stripe2>,
}

impl kernel::Module for Stripe2Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registration: STRIPE2.register()?,
        })
    }
}

/// A device below, and the sector where its part begins.
struct Stripe {
    device: Device,
    start: u64,
}

impl Stripe {
    fn new(ti: &Ctr<'_>, args: &mut Args<'_>, len: u64) -> Result<Self> {
        let device = ti.device(args.next("device")?)?;
        let arg = args.next("start sector")?;
        let start = arg.number()?;
        ti.check_range(&device, arg, start, len)?;
        Ok(Self { device, start })
    }
}

/// The target: as many stripes as its layout says, at least two.
struct Stripe2 {
    layout: Layout,
    stripes: KVec<Stripe>,
}

impl Stripe2 {
    /// Sends the part of a range that is on one stripe there. For each stripe there is such a bio.
    fn map_part<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        let number = bio.number();
        let part = self.layout.part(bio.sector(), bio.sectors(), number);
        match (part, self.stripes.get(number as usize)) {
            (Some((sector, len)), Some(to)) => bio.remap_range(&to.device, to.start + sector, len),
            _ => bio.complete(Ok(())),
        }
    }
}

#[vtable]
impl Target for Stripe2 {
    const NAME: &'static CStr = c"stripe2";
    const VERSION: [u32; 3] = [1, 0, 0];
    const FEATURES: Features = Features::NOWAIT
        .and(Features::PASSES_INTEGRITY)
        .and(Features::PASSES_CRYPTO)
        .and(Features::ATOMIC_WRITES);
    type PerBio = ();

    fn ctr(ti: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>> {
        args.at_least(2, "COUNT CHUNK [DEVICE START]..")?;
        let count = args.next("number of stripes")?;
        let chunk = args.next("sectors of a chunk")?;
        let layout = Layout::new(count.number()?, chunk.number()?, ti.len())
            .map_err(|error| args.wrong(fmt!("{error}")))?;
        args.exactly(layout.arguments(), "COUNT CHUNK, and DEVICE START for each")?;
        let mut stripes = KVec::with_capacity(layout.stripes() as usize, GFP_KERNEL)?;
        for _ in 0..layout.stripes() {
            stripes.push(Stripe::new(ti, args, layout.width(ti.len()))?, GFP_KERNEL)?;
        }
        ti.max_io_len(layout.chunk());
        ti.bios(layout.stripes());
        ti.flush_bypasses_map();
        Ok(try_init!(Self { layout, stripes }))
    }

    #[inline]
    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        let (stripe, sector) = match bio.op() {
            Op::Read | Op::Write => self.layout.locate(bio.sector()),
            // One for each stripe, if another target of the table wants its flushes mapped.
            Op::Flush => (bio.number(), 0),
            _ => return self.map_part(bio),
        };
        match self.stripes.get(stripe as usize) {
            Some(to) => bio.remap(&to.device, to.start + sector),
            None => bio.complete(Err(Status::Io)),
        }
    }

    fn table(&self, out: &mut Text<'_>) -> fmt::Result {
        write!(out, "{} {}", self.layout.stripes(), self.layout.chunk())?;
        for Stripe { device, start } in &self.stripes {
            write!(out, " {device} {start}")?;
        }
        Ok(())
    }

    fn iterate_devices(&self, visitor: &mut Visitor<'_>) -> Visit {
        let width = self.layout.width(visitor.len());
        for stripe in &self.stripes {
            visitor.visit(&stripe.device, stripe.start, width)?;
        }
        Visit::Continue(())
    }

    fn io_hints(&self, _ti: Instance<'_>, hints: &mut Hints<'_>) {
        self.layout.hint(hints);
    }
}
