// SPDX-License-Identifier: GPL-2.0

//! What a target does.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::ops::{BitOr, ControlFlow};

use kernel::{error::VTABLE_DEFAULT_ERROR, fmt, prelude::*};
use kit_bindings as bindings;

use super::{Args, Bio, Ctr, Device, Ended, Ending, Hints, Instance, Mapped, Text, Visit, Visitor};

/// What a type of target can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// Nothing out of the ordinary.
    pub const NONE: Self = Self(0);
    /// `map` does not sleep for a bio that must not wait.
    pub const NOWAIT: Self = Self(bindings::DM_TARGET_NOWAIT as u64);
    /// The target is the only one in its table.
    pub const SINGLETON: Self = Self(bindings::DM_TARGET_SINGLETON as u64);
    /// The target makes no sense in a read-only table.
    pub const ALWAYS_WRITEABLE: Self = Self(bindings::DM_TARGET_ALWAYS_WRITEABLE as u64);
    /// A device with such a target never gets a table with another type.
    pub const IMMUTABLE: Self = Self(bindings::DM_TARGET_IMMUTABLE as u64);
    /// Checksums that come with data go to the device below.
    pub const PASSES_INTEGRITY: Self = Self(bindings::DM_TARGET_PASSES_INTEGRITY as u64);
    /// The device below may encrypt.
    pub const PASSES_CRYPTO: Self = Self(bindings::DM_TARGET_PASSES_CRYPTO as u64);
    /// Atomic writes stay atomic.
    pub const ATOMIC_WRITES: Self = Self(bindings::DM_TARGET_ATOMIC_WRITES as u64);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn raw(self) -> u64 {
        self.0
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// The device that an ioctl on the mapped device is passed to.
pub struct Passthrough<'a> {
    /// The device.
    pub device: &'a Device,
    /// Whether the target is all of that device. Otherwise an ioctl takes `CAP_SYS_RAWIO`, since it
    /// may reach what is not the target's.
    pub whole: bool,
}

/// A target: what one line of a table stands for. Made by [`Self::ctr`], dropped with the table.
///
/// All methods are called by many tasks at a time, and take `&self`. The driver's module cannot be
/// unloaded while there is such a target.
#[vtable]
pub trait Target: Sized + Send + Sync + 'static {
    /// What a table calls it.
    const NAME: &'static CStr;

    /// Of the arguments and messages that it takes: changed incompatibly, extended, fixed.
    const VERSION: [u32; 3];

    /// What it can do.
    const FEATURES: Features = Features::NONE;

    /// What it keeps with each bio. It has its default when `map` gets the bio, and is dropped
    /// after `end_io`, in any context. `()` costs nothing.
    type PerBio: Default + Send + Sync;

    /// Makes the target for a line of a table. In process context.
    fn ctr(ti: &Ctr<'_>, args: &mut Args<'_>) -> Result<impl PinInit<Self, Error>>;

    /// Decides what becomes of a bio. In process context; must not wait for other bios of the same
    /// device, nor allocate memory in a way that starts I/O.
    fn map<'a>(&self, bio: Bio<'a, Self>) -> Mapped<'a>;

    /// A bio is over that was remapped, submitted or completed. In any context, also that of a hard
    /// interrupt.
    fn end_io<'a>(&self, _bio: Ended<'a, Self>) -> Ending<'a> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the state, for `dmsetup status`. Nothing if there is none to tell.
    fn info(&self, _ti: Instance<'_>, _out: &mut Text<'_>) -> fmt::Result {
        Ok(())
    }

    /// Writes the arguments, for `dmsetup table`: those that would make this target again.
    fn table(&self, out: &mut Text<'_>) -> fmt::Result;

    /// Obeys a message (`dmsetup message DEVICE SECTOR WORD..`). What is written to `reply` is
    /// shown to who sent it.
    fn message(&self, _ti: Instance<'_>, _args: &mut Args<'_>, _reply: &mut Text<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device is about to be suspended or removed: what is held must come back now, and
    /// nothing be held until [`Self::resume`].
    fn presuspend(&self, _ti: Instance<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The suspend that [`Self::presuspend`] announced was interrupted.
    fn presuspend_undo(&self, _ti: Instance<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device is suspended: all bios have come back, and none comes.
    fn postsuspend(&self, _ti: Instance<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device is about to be resumed; an error prevents that.
    fn preresume(&self, _ti: Instance<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device is resumed. (Also before a new table is used for the first time.)
    fn resume(&self, _ti: Instance<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Visits each range of a device below that the target uses. A target of memory has none.
    fn iterate_devices(&self, _visitor: &mut Visitor<'_>) -> Visit {
        ControlFlow::Continue(())
    }

    /// Changes the limits that follow from the devices below.
    fn io_hints(&self, _ti: Instance<'_>, _hints: &mut Hints<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Says to which device an ioctl goes that the device mapper does not know. Without this there
    /// is none, and the ioctl fails with `ENOTTY`.
    fn prepare_ioctl(&self, _ti: Instance<'_>) -> Result<Passthrough<'_>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
