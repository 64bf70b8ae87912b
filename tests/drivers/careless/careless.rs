// SPDX-License-Identifier: GPL-2.0

//! `careless`: a driver that says what cannot be, all of it in safe code. For the tests that the kit does not pass it on.
//!
//! - `/proc/careless` and `/dev/careless` say that a thousand times more was read than was.
//! - A target `careless SIZE` wants blocks, I/O and discards of that many bytes, whatever it is.

#![deny(unsafe_code)]

use core::fmt::Write;

use kernel::{fmt, fs::File, iov::IovIterDest, prelude::*, sync::Arc};
use kit::{
    chrdev,
    dm::{Args, Bio, Ctr, Hints, Instance, Mapped, Registration, Target, TargetType, Text},
    file::{Io, Operations},
    proc::{file, Entry},
};

module! {
    type: Careless,
    name: "careless",
    authors: ["Blockyard developers"],
    description: "Says what cannot be",
    license: "GPL",
}

/// What there is to read.
const TEXT: &[u8] = b"hello\n";

fn read(position: &mut i64, to: &mut IovIterDest<'_>) -> Result<usize> {
    Ok(to.simple_read_from_buffer(position, TEXT)? * 1000)
}

/// What is behind `/proc/careless`.
struct InProc;

#[vtable]
impl file::Operations for InProc {
    type Opened = ();

    fn open(&self, _: &File) -> impl PinInit<(), Error> {
        Ok(())
    }

    fn read(&self, _: Pin<&()>, position: &mut i64, to: &mut IovIterDest<'_>) -> Result<usize> {
        read(position, to)
    }
}

/// An open file of `/dev/careless`.
struct InDev;

#[vtable]
impl Operations for InDev {
    type Shared = ();

    fn open(_: Arc<()>, _: &File) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self)
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        read(io.position, to)
    }

    fn size(&self) -> usize {
        TEXT.len()
    }
}

/// The target.
struct Blocks {
    bytes: u32,
}

#[vtable]
impl Target for Blocks {
    const NAME: &'static CStr = c"careless";
    const VERSION: [u32; 3] = [1, 0, 0];
    type PerBio = ();

    fn ctr(_: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>> {
        args.exactly(1, "SIZE")?;
        let bytes = args.next("size")?.number()?;
        Ok(Ok::<_, Error>(Self { bytes }))
    }

    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
        bio.complete(Ok(()))
    }

    fn table(&self, out: &mut Text<'_>) -> fmt::Result {
        write!(out, "{}", self.bytes)
    }

    fn io_hints(&self, _: Instance<'_>, hints: &mut Hints<'_>) {
        hints.set_logical_block_size(self.bytes);
        hints.set_physical_block_size(self.bytes);
        hints.set_io_min(self.bytes);
        hints.set_discard_granularity(self.bytes);
        hints.set_max_hw_discard_sectors(8);
    }
}

static BLOCKS: TargetType<Blocks> = TargetType::new();

/// The loaded module.
struct Careless {
    _entry: Entry<InProc>,
    _device: chrdev::Device<InDev>,
    _target: Registration<Blocks>,
}

impl kernel::Module for Careless {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let number = chrdev::Number::dynamic(c"careless")?;
        let class = chrdev::Class::new(c"careless")?;
        let nothing = Arc::new((), GFP_KERNEL)?;
        Ok(Self {
            _entry: Entry::file(None, c"careless", 0o644, Ok::<_, Error>(InProc))?,
            _device: chrdev::Device::add(&class, number, c"careless", nothing)?,
            _target: BLOCKS.register()?,
        })
    }
}
