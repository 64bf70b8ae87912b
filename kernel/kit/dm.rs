// SPDX-License-Identifier: GPL-2.0

//! Device-mapper targets: block devices made of other block devices, one line of a table at a time.
//!
//! The `kernel` crate has nothing for them. A target gets each bio of its part of the device and
//! says what becomes of it. Many CPUs call [`Target::map`] at a time, so it takes `&self`.
//!
//! # To write a target
//!
//! - A struct with what the target knows: the devices below it, and numbers.
//! - [`Target::ctr`] makes it from the arguments of the table's line. An error names the argument.
//! - [`Target::map`] decides on a bio, and cannot help deciding: see below.
//! - [`Target::table`] writes the arguments back, and [`Target::iterate_devices`] shows the devices.
//! - A `static` [`TargetType`], and in the module's struct the [`Registration`] that it gives.
//!
//! ```
//! use core::fmt::Write;
//! use kernel::{fmt, prelude::*};
//! use kit::dm::{
//!     Args, Bio, Ctr, Device, Mapped, Registration, Target, TargetType, Text, Visit, Visitor,
//! };
//!
//! module! {
//!     type: PassModule,
//!     name: "dm_pass",
//!     authors: ["You"],
//!     description: "Passes everything on",
//!     license: "GPL",
//! }
//!
//! /// Passes everything on.
//! struct Pass {
//!     device: Device,
//! }
//!
//! #[vtable]
//! impl Target for Pass {
//!     const NAME: &'static CStr = c"pass";
//!     const VERSION: [u32; 3] = [1, 0, 0];
//!     type PerBio = ();
//!
//!     fn ctr(ti: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>> {
//!         args.exactly(1, "DEVICE")?;
//!         let device = ti.device(args.next("device")?)?;
//!         ti.flush_bios(1);
//!         Ok(try_init!(Self { device }))
//!     }
//!
//!     fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a> {
//!         let sector = bio.sector();
//!         bio.remap(&self.device, sector)
//!     }
//!
//!     fn table(&self, out: &mut Text<'_>) -> fmt::Result {
//!         write!(out, "{}", self.device)
//!     }
//!
//!     fn iterate_devices(&self, visitor: &mut Visitor<'_>) -> Visit {
//!         visitor.visit(&self.device, 0, visitor.len())
//!     }
//! }
//!
//! static PASS: TargetType<Pass> = TargetType::new();
//!
//! struct PassModule {
//!     _registration: Registration<Pass>,
//! }
//!
//! impl kernel::Module for PassModule {
//!     fn init(_module: &'static ThisModule) -> Result<Self> {
//!         Ok(Self {
//!             _registration: PASS.register()?,
//!         })
//!     }
//! }
//! ```
//!
//! (A test builds and loads just this.) `drivers/dm_hello` is a little more of the same.
//!
//! # The life of a bio
//!
//! A bio that a target gets is a clone of the submitter's, made for it. It has one owner at a time:
//!
//! | by | owner then |
//! |---|---|
//! | [`Bio::remap`], [`Bio::remap_range`] | the device below |
//! | [`Bio::complete`] | nobody: it is over |
//! | [`Bio::requeue`] | the device mapper, which maps it anew after a resume |
//! | [`Bio::hold`] | the target, as a [`Held`], for as long as it likes |
//!
//! Each takes the bio and gives a [`Mapped`], the only value of that type for this very bio, which
//! `map` must return. So every bio is decided on, and none twice. A [`Held`] ends in the same ways;
//! dropping one completes it with an I/O error.
//!
//! Sectors count from the beginning of the target, not of the mapped device.
//!
//! # Suspend, removal
//!
//! Before a table is replaced or removed, the device mapper calls [`Target::presuspend`], then
//! waits until every bio has come back, then calls [`Target::postsuspend`]. It waits for held ones,
//! too: from `presuspend` on a target holds nothing any more (`drivers/dm_gate` shows it). So a target never goes while there
//! is a bio of it, which is what makes a [`Held`] safe to have anywhere.
//!
//! # Devices below
//!
//! A [`Device`] is opened in `ctr`. The kit gives it back to the device mapper after the target was
//! dropped, on every path; the [`Device`] itself is a handle, which may be kept anywhere, and only
//! bios of that very target can be sent through it.
//!
//! # Counterparts in C
//!
//! | here | there |
//! |---|---|
//! | [`Target`], [`TargetType`] | `struct target_type` |
//! | [`Ctr`], [`Instance`] | `struct dm_target` |
//! | [`Args`], [`Arg`] | `struct dm_arg_set`, `dm_read_arg()` |
//! | [`Device`] | `struct dm_dev`, `dm_get_device()` |
//! | [`Mapped`], [`Ending`] | `DM_MAPIO_*`, `DM_ENDIO_*` |
//! | [`Held::submit`] | `dm_submit_bio_remap()` |
//! | [`HeldList`] | `struct bio_list` |
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

mod args;
mod bio;
mod callbacks;
mod ctr;
mod device;
mod end;
mod hints;
mod instance;
mod list;
mod log;
mod sentence;
mod target;
mod target_type;
mod text;

pub use self::args::{Arg, Args};
pub use self::bio::{Bio, Held, Mapped};
pub use self::ctr::Ctr;
pub use self::device::{Device, Visit, Visitor};
pub use self::end::{Ended, Ending};
pub use self::hints::Hints;
pub use self::instance::Instance;
pub use self::list::HeldList;
pub use self::target::{Features, Passthrough, Target};
pub use self::target_type::{Registration, TargetType};
pub use self::text::Text;
