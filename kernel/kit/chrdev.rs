// SPDX-License-Identifier: GPL-2.0

//! Character devices with a number, a class and a node.
//!
//! A character device is three things that the kernel keeps apart, and so does this module:
//!
//! - [`Number`]: a device number of its own, with a major that the kernel picks or a fixed one. It
//!   is in `/proc/devices`. A node with that number, also one made by `mknod`, leads to the driver.
//! - [`Class`]: a folder in `/sys/class`.
//! - [`Device`]: the device in the system. It takes a number and has a class; it appears in
//!   `/sys/class/CLASS/NAME` and as `/dev/NAME` (mode 0600; udev may change that), and udev gets an
//!   event. What its files do is the driver's [`file::Operations`](crate::file::Operations).
//!
//! Each is undone when it is dropped.
//!
//! # Who outlives whom
//!
//! A device can be dropped at any time, also while files are open, and from within one of their
//! operations. Then its node goes, and whoever opens it gets `ENXIO`; a file that was open goes on as if
//! nothing had happened, with what it shares, until it is closed.
//!
//! Unloading the module is refused for as long as a file is open. But a module whose initialisation
//! *fails* goes at once, which the kernel does not hold up for a program that was quick enough to
//! open the device before. So adding the device is the last thing that an initialisation does.
//!
//! With `CONFIG_DEBUG_KOBJECT_RELEASE`, unloading also waits until the kernel has released what was
//! removed, which takes it seconds. For that the class, or the number of a device, must be there until
//! the module goes, and not be owned by what the files of a device share.
//!
//! | here | in C |
//! |---|---|
//! | [`Number::dynamic`], [`Number::fixed`] | `alloc_chrdev_region()`, `register_chrdev_region()` |
//! | [`Class`] | `class_create()`, `class_destroy()` |
//! | [`Device`] | `cdev_add()` and `device_create()` |
//!
//! C header: [`include/linux/cdev.h`](srctree/include/linux/cdev.h)

mod class;
mod device;
mod number;
mod release;

pub use class::Class;
pub use device::Device;
pub use number::Number;
