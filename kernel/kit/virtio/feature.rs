// SPDX-License-Identifier: GPL-2.0

//! Feature bits: what a driver supports, and what it has agreed on with a device.
//!
//! A driver names the bits that it knows what to do with ([`Driver::FEATURES`]); the virtio core
//! offers the device no other. Asking whether a bit was agreed on that the driver has not named is
//! a mistake in the driver, for which the core has a `BUG()`. Here it does not compile.

use core::marker::PhantomData;

use super::Driver;

/// The bits from here to [`TRANSPORT_END`] are the transport's business, and the core's.
const TRANSPORT_START: u32 = 24;
const TRANSPORT_END: u32 = 50;

/// Whether the list has the bit.
const fn contains(list: &[u32], bit: u32) -> bool {
    let mut at = 0;
    while at < list.len() {
        if list[at] == bit {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether a driver may support all of these.
pub(super) const fn are_of_the_device(list: &[u32]) -> bool {
    let mut at = 0;
    while at < list.len() {
        let bit = list[at];
        if bit >= 64 || (bit >= TRANSPORT_START && bit < TRANSPORT_END) {
            return false;
        }
        at += 1;
    }
    true
}

/// These bits as a mask. Each is below 64.
pub(super) fn mask(list: &[u32]) -> u64 {
    list.iter().fold(0, |mask, bit| mask | 1 << bit)
}

/// The features that a driver and a device have agreed on: those that both of them support.
pub struct Features<T: Driver> {
    bits: u64,
    _driver: PhantomData<fn() -> T>,
}

impl<T: Driver> Features<T> {
    pub(super) fn new(bits: u64) -> Self {
        Self {
            bits,
            _driver: PhantomData,
        }
    }

    /// Whether this feature is on: `features.has::<{ F_FLUSH }>()`.
    ///
    /// Does not compile if the driver does not support it.
    #[doc(alias = "virtio_has_feature")]
    pub fn has<const BIT: u32>(self) -> bool {
        const {
            assert!(
                contains(T::FEATURES, BIT),
                "a feature that the driver does not support"
            )
        };
        self.has_bit(BIT)
    }

    /// As [`Self::has`], for a bit that is no constant; `false` for one that the driver does not
    /// support.
    pub fn has_bit(self, bit: u32) -> bool {
        self.bits.checked_shr(bit).is_some_and(|bits| bits & 1 != 0) && contains(T::FEATURES, bit)
    }

    /// The device's own features that are on, as a mask.
    pub fn mask(self) -> u64 {
        self.bits & mask(T::FEATURES)
    }
}

impl<T: Driver> Clone for Features<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Driver> Copy for Features<T> {}
