// SPDX-License-Identifier: GPL-2.0

//! What is known of a device, and its folder in sysfs: `hello` in the device's own.
//!
//! | attribute | what it tells |
//! |---|---|
//! | `version` | of the device's layout and rules |
//! | `max_message` | the longest message, in bytes |
//! | `capacity` | how many bytes the device keeps of a stream, each way |
//! | `offered` | the features that the device has |
//! | `agreed` | those of them that the driver wanted, too |

use blockyard_abi::virtio_hello as abi;
use kernel::{device, fmt, prelude::*, sync::aref::ARef};
use kit::kobject::{Attribute, AttributeOf, Object, Registration};

/// Features, by name for people.
#[derive(Clone, Copy)]
pub(crate) struct Features(u64);

impl From<u64> for Features {
    fn from(mask: u64) -> Self {
        Self(mask)
    }
}

impl Features {
    /// Whether this one is among them.
    pub(crate) fn has(self, bit: u32) -> bool {
        self.0 & 1 << bit != 0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for bit in (0..u64::BITS).filter(|&bit| self.has(bit)) {
            f.write_str(between)?;
            match bit {
                abi::F_CHECKSUM => f.write_str("checksum")?,
                abi::F_REVERSE => f.write_str("reverse")?,
                abi::F_EVENTS => f.write_str("events")?,
                other => write!(f, "{other}")?,
            }
            between = " ";
        }
        if self.0 == 0 {
            f.write_str("none")?;
        }
        Ok(())
    }
}

/// What is known of a device. It does not change.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) version: u32,
    pub(crate) max_message: usize,
    pub(crate) capacity: u64,
    pub(crate) offered: Features,
    pub(crate) agreed: Features,
}

/// The folder, until this is dropped.
pub(crate) type Shown = Registration<Facts, ARef<device::Device>>;

impl Facts {
    /// Makes the folder.
    pub(crate) fn show(self, device: &device::Device<device::Bound>) -> Result<Shown> {
        Registration::new(device.into(), c"hello", c"virtio_hello", Ok(self))
    }
}

impl Object for Facts {
    const ATTRIBUTES: &'static [AttributeOf<Self>] = &[
        AttributeOf::new::<Version>(),
        AttributeOf::new::<MaxMessage>(),
        AttributeOf::new::<Capacity>(),
        AttributeOf::new::<Offered>(),
        AttributeOf::new::<Agreed>(),
    ];
}

/// Defines an attribute that shows a field.
macro_rules! attribute {
    ($type:ident, $name:literal, $field:ident) => {
        struct $type;

        #[vtable]
        impl Attribute for $type {
            type Object = Facts;
            const NAME: &'static CStr = $name;

            fn show(facts: &Facts, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_fmt(fmt!("{}\n", facts.$field))
            }
        }
    };
}

attribute!(Version, c"version", version);
attribute!(MaxMessage, c"max_message", max_message);
attribute!(Capacity, c"capacity", capacity);
attribute!(Offered, c"offered", offered);
attribute!(Agreed, c"agreed", agreed);
