// SPDX-License-Identifier: GPL-2.0

//! The devices below a target.
//!
//! A device that a constructor opens belongs to the table, and is the target's until it is put
//! back. That is done by [`Devices`], after the target was dropped; so a bio that is below, which
//! the target outlives, has its device. [`Device`], the handle that the driver gets, has the open
//! file as well, so it may be kept and asked whenever and wherever. It also knows which target it
//! is for, by a number that is never used twice, and no other target's bios can be sent through it.
//!
//! One thing the C interface hides: when a device is opened again in the same table, for more than
//! before, the table's `struct dm_dev` for it is *replaced*, and the pointer that earlier targets
//! have is dangling. So that pointer is not kept here. Where one is needed, it is asked for anew,
//! by number.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::{cell::Cell, ops::ControlFlow, ptr::NonNull};

use kernel::{
    bindings,
    error::to_result,
    fmt,
    fs::File,
    prelude::*,
    str::CStrExt,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
    },
};
use kit_bindings as dm;

use super::Instance;

/// `BLK_OPEN_READ`, whose cast bindgen cannot translate.
pub(super) const BLK_OPEN_READ: u32 = 1 << 0;

/// Bytes of a device's name with its zero: two numbers of ten digits and a colon fit.
const NAME_SIZE: usize = 22;

/// What names a target for ever; two targets never have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u64);

impl Id {
    fn new() -> Self {
        static LAST: Atomic<u64> = Atomic::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// A device's name, `MAJOR:MINOR`, as the table's line has it.
#[derive(Clone, Copy)]
struct Name([u8; NAME_SIZE]);

impl Name {
    fn new(name: &CStr) -> Self {
        let mut bytes = [0; NAME_SIZE];
        let source = name.to_bytes();
        // The C buffer is smaller than ours, so all of it fits.
        let len = source.len().min(NAME_SIZE - 1);
        bytes[..len].copy_from_slice(&source[..len]);
        Self(bytes)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// A device below a target.
///
/// It stays open until the target has gone, or this is dropped, whatever is later.
///
/// # Invariants
///
/// `bdev` is the block device of `_file`, and opened for the target `owner` until that has gone.
pub struct Device {
    bdev: NonNull<bindings::block_device>,
    _file: ARef<File>,
    owner: Id,
    name: Name,
}

// SAFETY: The block device is one for all tasks, and `_file` keeps it.
unsafe impl Send for Device {}
// SAFETY: As above; `&Device` only reads.
unsafe impl Sync for Device {}

impl Device {
    /// Its size in sectors, now.
    #[doc(alias = "bdev_nr_sectors")]
    pub fn sectors(&self) -> u64 {
        // SAFETY: By the type invariant `_file` keeps the block device. Its size may change
        // meanwhile: a volatile load of a word.
        unsafe { (&raw const (*self.bdev.as_ptr()).bd_nr_sectors).read_volatile() }
    }

    /// Its name: `MAJOR:MINOR`.
    pub fn name(&self) -> &CStr {
        self.name.as_c_str()
    }

    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut bindings::block_device {
        self.bdev.as_ptr()
    }

    /// Whether it is opened for this target.
    #[inline(always)]
    pub(super) fn is_for(&self, target: Id) -> bool {
        self.owner == target
    }
}

impl core::fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().to_str().map_err(|_| fmt::Error)?)
    }
}

// The kernel's own trait, for `fmt!` and the macros that print.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A device that the table has open for this target.
struct Opened {
    name: Name,
    mode: u32,
}

/// The devices that a target has opened. Dropping it puts them back.
///
/// # Invariants
///
/// Each in `opened` was got for `ti`, and not put back. `ti` is valid.
pub(super) struct Devices {
    ti: NonNull<dm::dm_target>,
    id: Id,
    opened: Cell<KVec<Opened>>,
}

impl Devices {
    /// # Safety
    ///
    /// The value, and what [`Self::take`] makes of it, must not outlive the instance, nor the
    /// target's last bio the value that has the devices.
    pub(super) unsafe fn new(instance: Instance<'_>) -> Self {
        // INVARIANT: Nothing is open.
        Self {
            // SAFETY: An instance is never null.
            ti: unsafe { NonNull::new_unchecked(instance.as_ptr()) },
            id: Id::new(),
            opened: Cell::new(KVec::new()),
        }
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// Moves the devices out.
    pub(super) fn take(&self) -> Self {
        // INVARIANT: They are the new value's now.
        Self {
            ti: self.ti,
            id: self.id,
            opened: Cell::new(self.opened.take()),
        }
    }

    /// Opens a device.
    #[inline]
    pub(super) fn open(&self, path: &CStr, mode: u32) -> Result<Device> {
        let mut opened = self.opened.take();
        let device = self.open_into(&mut opened, path, mode);
        self.opened.set(opened);
        device
    }

    #[inline]
    fn open_into(&self, opened: &mut KVec<Opened>, path: &CStr, mode: u32) -> Result<Device> {
        opened.reserve(1, GFP_KERNEL)?;
        // SAFETY: By the type invariant; called from the constructor.
        let dev = unsafe { get(self.ti, path, mode)? };
        // SAFETY: Just got, so it is valid, and has a name and an open file.
        let (name, bdev, file) = unsafe {
            let dev = dev.as_ref();
            let name = Name::new(CStr::from_char_ptr(dev.name.as_ptr()));
            (
                name,
                dev.bdev,
                ARef::from(File::from_raw_file(dev.bdev_file)),
            )
        };
        // INVARIANT: It was got, and not put back. There is room for it.
        let _ = opened.push_within_capacity(Opened { name, mode });
        Ok(Device {
            // INVARIANT: Of the file, and this target's.
            bdev: NonNull::new(bdev).ok_or(ENXIO)?,
            _file: file,
            owner: self.id,
            name,
        })
    }
}

impl Drop for Devices {
    #[inline]
    fn drop(&mut self) {
        for device in self.opened.get_mut().drain_all() {
            // SAFETY: By the type invariant the device is ours, so that it is still in the table,
            // and asking for no more than it was opened for gives the same one.
            unsafe {
                match get(self.ti, device.name.as_c_str(), device.mode) {
                    Ok(dev) => {
                        put(self.ti, dev);
                        put(self.ti, dev);
                    }
                    Err(error) => Instance::new(self.ti)
                        .err(fmt!("{}: lost: {error:?}", device.name.as_c_str())),
                }
            }
        }
    }
}

/// Gets a device of the table, opening it if the table does not have it yet, or not for that.
///
/// # Safety
///
/// `ti` must be valid; nobody else may use its table's list of devices meanwhile.
#[inline]
unsafe fn get(ti: NonNull<dm::dm_target>, path: &CStr, mode: u32) -> Result<NonNull<dm::dm_dev>> {
    let mut dev = core::ptr::null_mut();
    // SAFETY: By the function's contract; in process context.
    to_result(unsafe { dm::dm_get_device(ti.as_ptr(), path.as_char_ptr(), mode, &mut dev) })?;
    NonNull::new(dev).ok_or(ENXIO)
}

/// Puts a device back.
///
/// # Safety
///
/// As for [`get`]; `dev` must have been got for `ti`, and not be used for that any more.
#[inline]
unsafe fn put(ti: NonNull<dm::dm_target>, dev: NonNull<dm::dm_dev>) {
    // SAFETY: By the function's contract.
    unsafe { dm::dm_put_device(ti.as_ptr(), dev.as_ptr()) }
}

/// Whether to go on with the next device; what the device mapper wants to know may be clear before
/// the last one.
pub type Visit = ControlFlow<Stop>;

/// The device mapper has seen enough.
pub struct Stop(());

/// Visits the devices below a target, for the device mapper.
pub struct Visitor<'a> {
    instance: Instance<'a>,
    id: Id,
    callout: dm::iterate_devices_callout_fn,
    data: *mut c_void,
    result: c_int,
}

impl<'a> Visitor<'a> {
    /// # Safety
    ///
    /// `callout` must be callable with `data` for devices of `instance`, whose devices have `id`.
    pub(super) unsafe fn new(
        instance: Instance<'a>,
        id: Id,
        callout: dm::iterate_devices_callout_fn,
        data: *mut c_void,
    ) -> Self {
        Self {
            instance,
            id,
            callout,
            data,
            result: 0,
        }
    }

    /// What the last call said.
    pub(super) fn result(&self) -> c_int {
        self.result
    }

    /// How many sectors the target has.
    pub fn len(&self) -> u64 {
        self.instance.len()
    }

    /// Whether the target has no sector.
    pub fn is_empty(&self) -> bool {
        self.instance.is_empty()
    }

    /// Shows a contiguous range of a device. To be called for each that the target uses, unless it
    /// says [`ControlFlow::Break`]: then that is the end.
    #[inline]
    pub fn visit(&mut self, device: &Device, start: u64, len: u64) -> Visit {
        let (Some(callout), true) = (self.callout, device.is_for(self.id)) else {
            return ControlFlow::Continue(());
        };
        let ti = self.instance.as_ptr();
        // SAFETY: The device is opened for this target, so the table has it, open for reading at
        // least, and asking for that changes nothing.
        let result = unsafe {
            let ti = NonNull::new_unchecked(ti);
            match get(ti, device.name(), BLK_OPEN_READ) {
                Ok(dev) => {
                    let result = callout(ti.as_ptr(), dev.as_ptr(), start, len, self.data);
                    put(ti, dev);
                    result
                }
                Err(error) => error.to_errno(),
            }
        };
        self.result = result;
        match result {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(Stop(())),
        }
    }
}
