// SPDX-License-Identifier: GPL-2.0

//! A device's configuration space: a few registers that say what it is like.
//!
//! A field is read in one access of its own size, as the specification wants it (section 4.1.3.1),
//! and one of 64 bits in two. So what spans two accesses, or several fields that belong together,
//! may change in between; the device then counts its generation up, and who reads starts again
//! ([`Config::snapshot`]).
//!
//! There is no way to ask how long the space is. PCI's transport insists (`BUG()`) that what is read
//! is in it, by a sum that may wrap; MMIO's does not look. So a field lies within the first 256
//! bytes, which is what a usual slot of MMIO has for the space. The specification has a field's feature bit decide whether the field is there. So
//! a field that comes with a feature is an [`OptionalField`], whose value is there only if the
//! feature was agreed on.
//!
//! C header: [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use core::marker::PhantomData;

use kernel::prelude::*;
use kit_bindings::virtio_config_ops;

use super::{Device, Driver};
use crate::errno::EOPNOTSUPP;

/// How often a snapshot is begun before the device is taken for broken.
const TRIES: u32 = 1000;

mod private {
    pub trait Sealed {}
}

/// The value of a field: an unsigned integer, little-endian in the device.
pub trait Value: private::Sealed + Copy {
    #[doc(hidden)]
    fn from_bytes(bytes: [u8; 8]) -> Self;
    #[doc(hidden)]
    fn to_bytes(self) -> [u8; 8];
}

macro_rules! values {
    ($($type:ty),*) => {$(
        impl private::Sealed for $type {}
        impl Value for $type {
            fn from_bytes(bytes: [u8; 8]) -> Self {
                u64::from_le_bytes(bytes) as Self
            }
            fn to_bytes(self) -> [u8; 8] {
                u64::from(self).to_le_bytes()
            }
        }
    )*};
}

values!(u8, u16, u32, u64);

/// A field that every device of its type has.
///
/// # Invariants
///
/// It ends within the first [`Self::SPACE`] bytes.
#[derive(Clone, Copy)]
pub struct Field<V: Value> {
    offset: u32,
    _value: PhantomData<V>,
}

impl<V: Value> Field<V> {
    /// Bytes of the longest configuration space: what a usual slot of virtio over MMIO, 512 bytes,
    /// has for it.
    const SPACE: usize = 256;

    /// The field at this offset, in bytes.
    ///
    /// Panics, when a constant is made of it while compiling, unless the field ends within 256 bytes.
    pub const fn at(offset: u32) -> Self {
        assert!(
            offset as usize <= Self::SPACE - size_of::<V>(),
            "a field ends within the first 256 bytes"
        );
        // INVARIANT: Just checked.
        Self {
            offset,
            _value: PhantomData,
        }
    }

    /// The same, for devices with this feature.
    pub const fn with(self, feature: u32) -> OptionalField<V> {
        OptionalField {
            field: self,
            feature,
        }
    }
}

/// A field that is there if a feature was agreed on.
#[derive(Clone, Copy)]
pub struct OptionalField<V: Value> {
    field: Field<V>,
    feature: u32,
}

/// The configuration space of a device. Reading it may sleep.
pub struct Config<'a, T: Driver> {
    device: &'a Device<'a, T>,
}

impl<'a, T: Driver> Config<'a, T> {
    pub(super) fn new(device: &'a Device<'a, T>) -> Self {
        Self { device }
    }

    fn operations(&self) -> &virtio_config_ops {
        // SAFETY: The device is bound, and its transport's table static or as long-lived.
        unsafe { &*(*self.device.as_ptr()).config }
    }

    /// How often the device has changed its configuration, for comparison; always 0 if the
    /// transport does not count.
    fn generation(&self) -> u32 {
        self.operations().generation.map_or(0, |generation| {
            // SAFETY: The device is bound; in process context.
            unsafe { generation(self.device.as_ptr()) }
        })
    }

    /// A field's bytes, in the accesses that the specification wants.
    fn bytes<V: Value>(&self, field: Field<V>) -> Result<[u8; 8]> {
        let get = self.operations().get.ok_or(EIO)?;
        let (mut bytes, mut at) = ([0; 8], 0);
        while at < size_of::<V>() {
            let len = (size_of::<V>() - at).min(4);
            // SAFETY: The device is bound, and the buffer has this length from here on. By the
            // field's type invariant the offset cannot wrap, so PCI's transport finds it out if the
            // space is shorter, and in MMIO's the field is in the slot.
            unsafe {
                get(
                    self.device.as_ptr(),
                    field.offset + at as u32,
                    bytes[at..].as_mut_ptr().cast(),
                    len as u32,
                )
            };
            at += len;
        }
        Ok(bytes)
    }

    /// Reads fields that belong together: `read` is called again until the configuration did not
    /// change meanwhile.
    ///
    /// `EIO` if it never stands still, or if the transport has no configuration space.
    pub fn snapshot<R>(&self, mut read: impl FnMut(&Snapshot<'_, T>) -> Result<R>) -> Result<R> {
        for _ in 0..TRIES {
            let before = self.generation();
            let value = read(&Snapshot { config: self })?;
            if self.generation() == before {
                return Ok(value);
            }
        }
        Err(EIO)
    }

    /// Reads a field.
    #[doc(alias = "virtio_cread")]
    pub fn read<V: Value>(&self, field: Field<V>) -> Result<V> {
        self.snapshot(|config| config.read(field))
    }

    /// Reads a field, if the feature that it comes with was agreed on.
    #[doc(alias = "virtio_cread_feature")]
    pub fn read_optional<V: Value>(&self, field: OptionalField<V>) -> Result<Option<V>> {
        self.snapshot(|config| config.read_optional(field))
    }

    /// Writes a field, if the feature that it comes with was agreed on; else fails with
    /// `EOPNOTSUPP`.
    #[doc(alias = "virtio_cwrite")]
    pub fn write<V: Value>(&self, field: OptionalField<V>, value: V) -> Result {
        if !self.device.features().has_bit(field.feature) {
            return Err(EOPNOTSUPP);
        }
        let set = self.operations().set.ok_or(EIO)?;
        let (bytes, mut at) = (value.to_bytes(), 0);
        while at < size_of::<V>() {
            let len = (size_of::<V>() - at).min(4);
            // SAFETY: As in `bytes()`.
            unsafe {
                set(
                    self.device.as_ptr(),
                    field.field.offset + at as u32,
                    bytes[at..].as_ptr().cast(),
                    len as u32,
                )
            };
            at += len;
        }
        Ok(())
    }
}

/// The configuration space while a snapshot is being taken.
pub struct Snapshot<'a, T: Driver> {
    config: &'a Config<'a, T>,
}

impl<T: Driver> Snapshot<'_, T> {
    /// Reads a field.
    pub fn read<V: Value>(&self, field: Field<V>) -> Result<V> {
        self.config.bytes(field).map(V::from_bytes)
    }

    /// Reads a field, if the feature that it comes with was agreed on.
    pub fn read_optional<V: Value>(&self, field: OptionalField<V>) -> Result<Option<V>> {
        if !self.config.device.features().has_bit(field.feature) {
            return Ok(None);
        }
        self.read(field.field).map(Some)
    }
}
