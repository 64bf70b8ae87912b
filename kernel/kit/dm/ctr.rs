// SPDX-License-Identifier: GPL-2.0

//! What a constructor can do: open devices, and say how bios are to come.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::ops::Deref;

use kernel::{fmt, prelude::*};

use super::{
    device::{Devices, BLK_OPEN_READ},
    instance::{Complaint, Instance},
    Arg, Device,
};
use kit_bindings as bindings;

/// A target under construction. It is an [`Instance`], too.
pub struct Ctr<'a> {
    instance: Instance<'a>,
    pub(super) devices: Devices,
}

impl<'a> Deref for Ctr<'a> {
    type Target = Instance<'a>;

    fn deref(&self) -> &Self::Target {
        &self.instance
    }
}

impl<'a> Ctr<'a> {
    /// # Safety
    ///
    /// `instance` must be under construction, and no other `Ctr` for it.
    pub(super) unsafe fn new(instance: Instance<'a>) -> Self {
        Self {
            instance,
            // SAFETY: The devices are either put back in the constructor, or moved to the target's
            // private data, which goes before the instance.
            devices: unsafe { Devices::new(instance) },
        }
    }

    fn complaint(&self) -> Complaint<'a> {
        Complaint::Constructor(self.instance)
    }

    /// Says why the target cannot be made; gives `error` back.
    pub fn refuse(&self, error: Error, why: fmt::Arguments<'_>) -> Error {
        self.complaint().say(error, why)
    }

    /// Opens a device below, given by path or by `MAJOR:MINOR`, for what the table is opened for:
    /// reading, and unless it is read-only, writing.
    #[inline]
    #[doc(alias = "dm_get_device")]
    pub fn device(&self, arg: Arg<'_>) -> Result<Device> {
        // SAFETY: By the invariant of `Instance`.
        let mode = unsafe { bindings::dm_table_get_mode((*self.as_ptr()).table) };
        self.open(arg, mode)
    }

    /// As [`Self::device`], for reading only. The target then must not let writes pass.
    #[inline]
    pub fn device_read_only(&self, arg: Arg<'_>) -> Result<Device> {
        self.open(arg, BLK_OPEN_READ)
    }

    #[inline]
    fn open(&self, arg: Arg<'_>, mode: u32) -> Result<Device> {
        self.devices
            .open(arg.text(), mode)
            .map_err(|error| arg.refuse(error, "cannot be opened as a block device"))
    }

    /// Fails unless the device has `len` sectors from `start` on. `arg` is the argument that gave
    /// `start`.
    pub fn check_range(&self, device: &Device, arg: Arg<'_>, start: u64, len: u64) -> Result {
        let has = device.sectors();
        if start.checked_add(len).is_some_and(|end| end <= has) {
            return Ok(());
        }
        Err(arg.wrong(fmt!(
            "is too far: {len} sectors are wanted from there on, and {device} has {has}"
        )))
    }

    /// The longest bio, in sectors; and none crosses a multiple of it, counted from the beginning
    /// of the target.
    #[doc(alias = "dm_set_target_max_io_len")]
    pub fn max_io_len(&self, sectors: u32) {
        // SAFETY: By the invariant of `Instance`; only the constructor, in which we are, knows the
        // target. (The C function does the same, after a check that the type here makes for it.)
        unsafe { (*self.as_ptr()).max_io_len = sectors }
    }

    /// How many bios to send for a flush ([`Bio::number`](super::Bio::number) tells them apart).
    /// Without any, what is below is not flushed.
    pub fn flush_bios(&self, count: u32) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).num_flush_bios = count }
    }

    /// How many bios to send for a discard, each with the whole range; 0 for no support.
    pub fn discard_bios(&self, count: u32) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).num_discard_bios = count }
    }

    /// How many bios to send for a secure erase, each with the whole range; 0 for no support.
    pub fn secure_erase_bios(&self, count: u32) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).num_secure_erase_bios = count }
    }

    /// How many bios to send for a write of zeroes, each with the whole range; 0 for no support.
    pub fn write_zeroes_bios(&self, count: u32) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).num_write_zeroes_bios = count }
    }

    /// As many bios for each kind of I/O that moves no data.
    pub fn bios(&self, count: u32) {
        self.flush_bios(count);
        self.discard_bios(count);
        self.secure_erase_bios(count);
        self.write_zeroes_bios(count);
    }

    /// Flushes come even if nothing below has a cache: the target has one.
    pub fn flush_supported(&self) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).set_flush_supported(true) }
    }

    /// Discards come even if nothing below supports them.
    pub fn discards_supported(&self) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).set_discards_supported(true) }
    }

    /// Discards are split at multiples of the longest one.
    pub fn split_discards(&self) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).set_max_discard_granularity(true) }
    }

    /// A flush does not come to `map`, but goes to each device of the table, once. (If all targets
    /// of the table say so.)
    pub fn flush_bypasses_map(&self) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).set_flush_bypasses_map(true) }
    }

    /// Bios that swap pages out are limited in number, for a target that needs memory for each.
    pub fn limit_swap_bios(&self) {
        // SAFETY: As in `max_io_len()`.
        unsafe { (*self.as_ptr()).set_limit_swap_bios(true) }
    }
}
