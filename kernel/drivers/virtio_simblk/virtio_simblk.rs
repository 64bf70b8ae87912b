// SPDX-License-Identifier: GPL-2.0

//! `virtio_simblk`: a driver of virtio block devices, in safe Rust.
//!
//! It does what the kernel's `virtio_blk` does, for the devices of QEMU as for the yard's own:
//! reads, writes, flushes, discards, writes of zeroes, several queues, a capacity that changes. Its
//! disks are `/dev/vsimN`.
//!
//! | file | what it is about |
//! |---|---|
//! | `disk` | a device: from its probe to its removal, and its disk |
//! | `limits` | what the device's configuration says, for the block layer |
//! | `queue` | a virtqueue: bios that go in, wait for room, and come back |
//! | `request` | one request: what the device is told, in one step or more |
//! | `indices` | the numbers in the disks' names |
//!
//! # Bios, not requests
//!
//! `virtio_blk` is a driver with a request queue (blk-mq): the block layer makes a request of each
//! bio, with a tag, may merge and reorder, and calls the driver. This one takes bios as they are
//! submitted. What it does without:
//!
//! - *Tags.* A virtqueue is a queue of its own, with its own numbers. Requests are allocated once,
//!   as many as the virtqueue has room for, so I/O needs no memory: writing dirty pages cannot end
//!   in waiting for memory. (The virtio core takes some for a table of descriptors if it can, and
//!   does without if it cannot.)
//! - *Merging.* File systems build large bios themselves, and the device's host has a cache and a
//!   scheduler. A program that writes 4 KiB after 4 KiB to the raw disk, without the page cache,
//!   pays for it.
//! - *Polling, time-outs, I/O schedulers.* For a virtual disk the first is rarely worth it;
//!   `virtio_blk` has no time-outs either.
//!
//! What it gains is a shorter way from the bio to the ring and back.
//!
//! # Who gets a disk
//!
//! The kernel's own driver is usually there first, and a device has one driver. To give a disk to
//! this one:
//!
//! ```text
//! echo virtio1 > /sys/bus/virtio/drivers/virtio_blk/unbind
//! echo virtio1 > /sys/bus/virtio/drivers/virtio_simblk/bind
//! ```
//!
//! `echo 0 > /sys/bus/virtio/drivers_autoprobe` has devices that appear from then on wait to be
//! bound so.

#![deny(unsafe_code)]

mod disk;
mod indices;
mod limits;
mod queue;
mod request;

use blockyard_abi::virtio_blk as abi;
use kernel::prelude::*;
use kit::{block::Major, virtio};

use crate::{
    disk::{Shared, Vsim},
    indices::Indices,
};

module! {
    type: VirtioSimblk,
    name: "virtio_simblk",
    authors: ["Blockyard developers"],
    description: "Driver of virtio block devices, in safe Rust",
    license: "GPL",
}

kit::module_version!("0.1.0");

kit::virtio_device_table!(IDS, [abi::DEVICE_ID]);

/// The loaded module.
#[pin_data]
struct VirtioSimblk {
    #[pin]
    _driver: virtio::Registration<Vsim>,
}

impl kernel::InPlaceModule for VirtioSimblk {
    fn init(_: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let shared = Shared {
                indices: Indices::new()?,
                major: Major::register(c"vsim")?,
            };
            Ok(try_pin_init!(Self {
                _driver <- virtio::Registration::register(shared),
            }))
        })
    }
}
