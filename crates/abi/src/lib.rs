// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0

//! What the drivers have agreed on with their users and with their devices: ioctl numbers, structs, messages, limits and
//! names.
//!
//! One source has two homes. Cargo builds it for user space (`blockyard-client`), Kbuild builds it as one more
//! object of each module that needs it (`kernel/abi` is a link to this folder). So the two sides cannot drift
//! apart: a field that is moved here is moved for both. It has no allocation, no dependency but `zerocopy`
//! (which the kernel vendors), and no code beyond building and taking apart numbers.
//!
//! Rules for a struct that crosses the boundary, each checked by the compiler:
//!
//! - fixed-width fields, no padding, so that no uninitialised byte leaves the kernel (`IntoBytes`);
//! - every bit pattern is a value, so that no byte from user space is undefined behaviour (`FromBytes`): flags,
//!   directions and the like are plain integers, judged by the reader;
//! - the same layout for 32 and 64 bits: pointers travel as `u64`, 64-bit fields are 8-byte aligned;
//! - the size is in the ioctl's number, so a changed struct is a new ioctl, and the old one gets `ENOTTY`.

#![no_std]
// Kbuild says `no_std` on the command line already.
#![allow(unused_attributes, clippy::duplicated_attributes)]

pub mod bytedev;
pub mod chardev_ioctl;
pub mod command;
pub mod ioctl;
pub mod simblk;
pub mod virtio_blk;
pub mod virtio_hello;
pub mod virtio_hello_echo;
