// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module examples, each loaded and used in a guest.

mod bytedev;
mod careless;
mod chardev;
mod chardev_ioctl;
mod hello;
mod opensnoop;
mod procfile;
mod sysobj;
mod taskinfo;
mod tinyfs;
mod twin;
