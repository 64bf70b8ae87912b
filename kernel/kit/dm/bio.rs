// SPDX-License-Identifier: GPL-2.0

//! A bio of a target, and what can become of it. The parent module has the table.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::{marker::PhantomData, mem::ManuallyDrop, ops::Deref, ptr::NonNull};

use kernel::{bindings, prelude::*};
use kit_bindings as dm;

use super::{callbacks::Private, Device, Instance, Target};
use crate::block::{self, Op, Status, SECTOR_SIZE};

/// `BLK_STS_DM_REQUEUE`, whose cast bindgen cannot translate.
const STATUS_REQUEUE: bindings::blk_status_t = 11;

/// What `map` decided on the bio that has the same lifetime.
///
/// The lifetime is that of one call, and is neither longer nor shorter than it: so a `Mapped` of
/// one bio cannot be returned for another, and as deciding takes the bio, there is just one.
///
/// # Invariants
///
/// What `code` tells the device mapper is true of that bio.
#[must_use = "the device mapper must be told"]
pub struct Mapped<'a> {
    code: c_int,
    _brand: Brand<'a>,
}

/// Makes a lifetime invariant: no two different ones fit each other.
pub(super) type Brand<'a> = PhantomData<fn(&'a ()) -> &'a ()>;

impl Mapped<'_> {
    #[inline(always)]
    fn new(code: u32) -> Self {
        // INVARIANT: Checked at each of the callers, all of which are in this file.
        Self {
            code: code as c_int,
            _brand: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn code(self) -> c_int {
        self.code
    }
}

/// A bio that a target has just got. It derefs to [`Held`], and that to [`block::Bio`], for what it
/// asks for.
#[must_use = "a bio that is dropped fails with an I/O error"]
pub struct Bio<'a, T: Target> {
    bio: Held<T>,
    _brand: Brand<'a>,
}

impl<T: Target> Deref for Bio<'_, T> {
    type Target = Held<T>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.bio
    }
}

impl<'a, T: Target> Bio<'a, T> {
    /// Takes a bio over.
    ///
    /// # Safety
    ///
    /// The device mapper must have called `map` with these, for a target whose type is a
    /// [`TargetType<T>`](super::TargetType), and `'a` be the time of that call.
    #[inline(always)]
    pub(super) unsafe fn new(ti: NonNull<dm::dm_target>, bio: NonNull<bindings::bio>) -> Self {
        // SAFETY: The bio is valid and ours. A target counts from its own beginning; an empty flush
        // is at 0 of the device, and is to be at 0 of each target.
        unsafe {
            let iter = &raw mut (*bio.as_ptr()).bi_iter.bi_sector;
            iter.write_unaligned(iter.read_unaligned().saturating_sub((*ti.as_ptr()).begin));
        }
        // SAFETY: The bio is ours by the function's contract.
        let bio = unsafe { block::Bio::adopt(bio) };
        let mut held = Held {
            bio,
            ti,
            _target: PhantomData,
        };
        held.init_data();
        // INVARIANT: By the function's contract.
        Self {
            bio: held,
            _brand: PhantomData,
        }
    }

    /// What the target keeps with the bio, to change it.
    ///
    /// There is no way to all of the [`Held`] in here: whoever could exchange it for another could
    /// decide on one bio and send off the other.
    #[inline]
    pub fn data_mut(&mut self) -> &mut T::PerBio {
        self.bio.data_mut()
    }

    /// Which of several bios for one flush, discard, or write of zeroes this is.
    #[inline]
    #[doc(alias = "dm_bio_get_target_bio_nr")]
    pub fn number(&self) -> u32 {
        // SAFETY: By the type invariant it is a clone of the device mapper's.
        unsafe { dm::dm_bio_get_target_bio_nr(self.as_ptr()) }
    }

    /// Sends the bio on to a device, from this sector of it on.
    #[inline(always)]
    #[doc(alias = "DM_MAPIO_REMAPPED")]
    pub fn remap(mut self, device: &Device, sector: u64) -> Mapped<'a> {
        if !self.bio.point_at(device, sector) {
            return self.complete(Err(Status::Io));
        }
        self.bio.give_up();
        // INVARIANT: The bio has its device and sector, and is not ours any more.
        Mapped::new(dm::DM_MAPIO_REMAPPED)
    }

    /// Sends a part of a bio without data (a discard, a write of zeroes) on: `sectors` from
    /// `sector` of a device on. What the bio was for must not be longer than that.
    ///
    /// This is for a range that is spread over devices, each of which gets a bio of its own (see
    /// [`Ctr::discard_bios`](super::Ctr::discard_bios)). A bio with data fails with an I/O error.
    #[inline]
    pub fn remap_range(self, device: &Device, sector: u64, sectors: u32) -> Mapped<'a> {
        let has_data = matches!(self.op(), Op::Read | Op::Write | Op::Flush);
        if has_data || sectors == 0 || sectors > self.sectors() {
            self.instance()
                .err(fmt!("bug: a part of a bio that has none"));
            return self.complete(Err(Status::Io));
        }
        // SAFETY: By the type invariant. Without data, the size is a number like others; it became
        // smaller, so it is what somebody asked for.
        unsafe { (*self.as_ptr()).bi_iter.bi_size = sectors * SECTOR_SIZE as u32 };
        self.remap(device, sector)
    }

    /// Takes only the first `sectors` of the bio. What is left comes as another one.
    ///
    /// Fails with `EINVAL` if that is none or more than there are, and for what cannot be split: a
    /// flush, an atomic write, and what several bios are sent for.
    #[inline]
    #[doc(alias = "dm_accept_partial_bio")]
    pub fn accept_partial(&mut self, sectors: u32) -> Result {
        let has = self.sectors();
        if sectors == has && has > 0 {
            return Ok(());
        }
        if sectors == 0 || sectors > has || !self.may_be_split() {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, called during `map`; it may be split, and has more.
        unsafe { dm::dm_accept_partial_bio(self.as_ptr(), sectors) };
        Ok(())
    }

    fn may_be_split(&self) -> bool {
        // SAFETY: By the type invariant; only the constructor writes these.
        let ti = unsafe { &*self.bio.ti.as_ptr() };
        let copies = match self.op() {
            Op::Read | Op::Write => 1,
            Op::Discard => ti.num_discard_bios,
            Op::WriteZeroes => ti.num_write_zeroes_bios,
            _ => return false,
        };
        copies == 1 && !self.preflush() && !self.has(bindings::req_flag_bits___REQ_ATOMIC)
    }

    /// Completes the bio.
    #[inline(always)]
    pub fn complete(self, result: Result<(), Status>) -> Mapped<'a> {
        self.bio.complete(result);
        // INVARIANT: The bio is not ours any more, and the device mapper has it already.
        Mapped::new(dm::DM_MAPIO_SUBMITTED)
    }

    /// Gives the bio back to the device mapper, which maps it anew after the next resume, with the
    /// table of then.
    ///
    /// If no suspend without flush is under way
    /// ([`Instance::is_noflush_suspending`]), it fails with an I/O error instead.
    #[inline]
    #[doc(alias = "DM_MAPIO_REQUEUE")]
    pub fn requeue(mut self) -> Mapped<'a> {
        // SAFETY: The bio is given up below, and `end_io` not called for it.
        unsafe { self.bio.drop_data() };
        self.bio.give_up();
        // INVARIANT: The bio is as it was, and not ours any more.
        Mapped::new(dm::DM_MAPIO_REQUEUE)
    }

    /// Keeps the bio.
    ///
    /// Suspending waits until it was completed, submitted or requeued.
    #[inline]
    #[doc(alias = "DM_MAPIO_SUBMITTED")]
    pub fn hold(self) -> (Mapped<'a>, Held<T>) {
        // INVARIANT: The bio will be submitted or completed by its owner.
        (Mapped::new(dm::DM_MAPIO_SUBMITTED), self.bio)
    }
}

/// A bio that a target owns. It derefs to [`block::Bio`], for what it asks for.
///
/// Dropping it completes it with an I/O error.
///
/// # Invariants
///
/// `bio` is a clone that the device mapper made for the target `ti`, whose type is a
/// [`TargetType<T>`](super::TargetType), and its per-bio data is initialised. The device mapper
/// keeps the target until all such bios have come back, so `ti` and its private data are valid.
#[must_use = "a bio that is dropped fails with an I/O error"]
pub struct Held<T: Target> {
    bio: block::Bio,
    ti: NonNull<dm::dm_target>,
    _target: PhantomData<fn() -> T>,
}

// SAFETY: A bio may be completed or submitted by any task; its data is `Send`.
unsafe impl<T: Target> Send for Held<T> {}
// SAFETY: `&Held` only reads what nobody changes; its data is `Sync`.
unsafe impl<T: Target> Sync for Held<T> {}

impl<T: Target> Deref for Held<T> {
    type Target = block::Bio;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.bio
    }
}

impl<T: Target> Held<T> {
    /// Bytes of the per-bio data: its place begins that much before the device mapper's own data,
    /// which is aligned to 8.
    pub(super) const DATA_SIZE: usize = size_of::<T::PerBio>().next_multiple_of(8);

    /// The place in its table of the target that the bio is for.
    #[inline(always)]
    pub fn instance(&self) -> Instance<'_> {
        // SAFETY: By the type invariant, as long as there is the bio.
        unsafe { Instance::new(self.ti) }
    }

    /// Sectors of the range.
    #[inline]
    pub fn sectors(&self) -> u32 {
        self.size() / SECTOR_SIZE as u32
    }

    /// What the target keeps with the bio.
    #[inline]
    #[doc(alias = "dm_per_bio_data")]
    pub fn data(&self) -> &T::PerBio {
        // SAFETY: By the type invariant.
        unsafe { Self::data_of(self.as_ptr()).as_ref() }
    }

    /// As [`Self::data`], to change it.
    #[inline]
    pub fn data_mut(&mut self) -> &mut T::PerBio {
        // SAFETY: By the type invariant; who has the bio has its data.
        unsafe { Self::data_of(self.as_ptr()).as_mut() }
    }

    /// Where the per-bio data is.
    ///
    /// # Safety
    ///
    /// `bio` must be a clone of the device mapper's for a target with a
    /// [`TargetType<T>`](super::TargetType).
    #[inline(always)]
    pub(super) unsafe fn data_of(bio: *mut bindings::bio) -> NonNull<T::PerBio> {
        const {
            assert!(
                align_of::<T::PerBio>() <= 8,
                "per-bio data is aligned to 8 at most"
            )
        };
        if Self::DATA_SIZE == 0 {
            return NonNull::dangling();
        }
        // SAFETY: By the function's contract, and `ti->per_io_data_size` is this size.
        let data = unsafe { dm::dm_per_bio_data(bio, Self::DATA_SIZE) };
        // SAFETY: It is a place before the bio.
        unsafe { NonNull::new_unchecked(data.cast()) }
    }

    /// Gives the per-bio data its first value.
    #[inline(always)]
    fn init_data(&mut self) {
        // SAFETY: The place is the bio's, and nothing in it yet.
        unsafe { Self::data_of(self.as_ptr()).write(T::PerBio::default()) };
    }

    /// Drops the per-bio data.
    ///
    /// # Safety
    ///
    /// The bio must be given up next, in a way for which `end_io` is not called.
    #[inline(always)]
    unsafe fn drop_data(&mut self) {
        // SAFETY: Initialised by the type invariant, and not used again.
        unsafe { Self::data_of(self.as_ptr()).drop_in_place() };
    }

    /// Gives the bio its device and sector, unless the device is another target's: then says
    /// `false`.
    #[inline(always)]
    fn point_at(&mut self, device: &Device, sector: u64) -> bool {
        // SAFETY: By the type invariant.
        let id = unsafe { Private::<T>::of(self.ti.as_ptr()) }.id();
        if !device.is_for(id) {
            self.foreign_device(device);
            return false;
        }
        let bio = self.as_ptr();
        // SAFETY: The bio is ours; the device was opened for its target, which keeps it until the
        // bio has come back.
        unsafe {
            dm::bio_set_dev(bio, device.as_ptr());
            (*bio).bi_iter.bi_sector = sector;
        }
        true
    }

    #[cold]
    fn foreign_device(&self, device: &Device) {
        self.instance()
            .err(fmt!("bug: a bio for {device}, opened by another target"));
    }

    /// Gives up ownership without completing.
    #[inline(always)]
    fn give_up(self) {
        let _ = ManuallyDrop::new(self);
    }

    /// Gives up ownership to who gets the bio and its target.
    pub(super) fn into_raw(self) -> (NonNull<bindings::bio>, NonNull<dm::dm_target>) {
        let held = ManuallyDrop::new(self);
        (held.bio.as_non_null(), held.ti)
    }

    /// Takes back what [`Self::into_raw`] gave.
    ///
    /// # Safety
    ///
    /// They must come from there, together, and not be used by anybody else any more.
    pub(super) unsafe fn from_raw(bio: NonNull<bindings::bio>, ti: NonNull<dm::dm_target>) -> Self {
        // INVARIANT: It was such a value.
        Self {
            // SAFETY: The bio was owned, and is by this value alone.
            bio: unsafe { block::Bio::adopt(bio) },
            ti,
            _target: PhantomData,
        }
    }

    /// Completes the bio: its submitter is told.
    #[inline(always)]
    #[doc(alias = "bio_endio")]
    pub fn complete(self, result: Result<(), Status>) {
        self.bio.complete(result);
    }

    /// Sends the bio on to a device, from this sector of it on. May sleep.
    #[inline]
    #[doc(alias = "dm_submit_bio_remap")]
    pub fn submit(mut self, device: &Device, sector: u64) {
        if !self.point_at(device, sector) {
            return self.complete(Err(Status::Io));
        }
        let bio = self.as_ptr();
        self.give_up();
        // SAFETY: The bio was ours; it has its device and sector; the constructor said that the
        // target submits itself (`accounts_remapped_io`).
        unsafe { dm::dm_submit_bio_remap(bio, core::ptr::null_mut()) };
    }

    /// As [`Bio::requeue`].
    pub fn requeue(self) {
        // SAFETY: The bio is ours.
        unsafe { (*self.as_ptr()).bi_status = STATUS_REQUEUE };
        self.bio.complete(Ok(()));
    }
}
