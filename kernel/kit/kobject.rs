// SPDX-License-Identifier: GPL-2.0

//! Objects in sysfs: a folder with attributes, whose changes user space hears of.
//!
//! A driver gives an object its data (an [`Object`]) and a list of attributes, each a type of its
//! own ([`Attribute`]) that shows and stores. A [`Registration`] is the object in sysfs, below
//! `/sys/kernel`, below a device, or below another object, until it is dropped.
//!
//! # Events
//!
//! `kobject_uevent_env()` takes the subsystem's name from the nearest kset, and sends nothing if
//! there is none. So each object has a kset of its own, which is not in sysfs: it is there for its
//! name alone.
//!
//! # When an object goes
//!
//! - *Attributes.* An open attribute does not keep the module. `kobject_del()` makes reading and
//!   writing it fail with `ENODEV` from now on, and waits for the `show` and `store` that run, up
//!   to their last instruction, as it is the kernel's image that calls them and says when they are
//!   back. An attribute must therefore not drop its own object.
//! - *Memory.* A kobject may only be freed in its type's `release`, which is called when the last
//!   reference goes: maybe by another task that looked at it just then, and with
//!   `CONFIG_DEBUG_KOBJECT_RELEASE` seconds later by a work queue. Here the memory is the
//!   registration's, `release` only says that it was called, and dropping the registration waits
//!   for that.
//! - *The text of `release`* is in the module. The kernel calls nothing of ours and looks at
//!   nothing of ours after it; if another task ran it, we wait until that is out of it, too
//!   ([`tails`](crate::tails)).
//! - *An object below another one* keeps that one's registration.
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)

mod attribute;
mod object;

pub use attribute::{Attribute, AttributeOf};
pub use object::{Kernel, Kobject, Parent, Registration};

/// The data of an object in sysfs.
pub trait Object: Send + Sync + Sized + 'static {
    /// Its attributes.
    const ATTRIBUTES: &'static [AttributeOf<Self>];
}
