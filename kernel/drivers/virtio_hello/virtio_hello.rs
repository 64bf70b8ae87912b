// SPDX-License-Identifier: GPL-2.0

//! `virtio_hello`: a driver of the virtio device `hello`, in safe Rust.
//!
//! The device, which `blockyard device hello` serves, is laid down in `blockyard_abi::virtio_hello`.
//! It echoes messages, carries a stream of bytes each way, and tells of events. Each is a file here,
//! and each uses its queue in another way, so that a driver for something else finds one to begin
//! with:
//!
//! | file | queue | who gives memory, and when |
//! |---|---|---|
//! | `/dev/virtio_helloN-echo` | there and back | a write makes a chain with room for the reply; a read takes it |
//! | `/dev/virtio_helloN-stream`, read | to the guest | chains wait in the device for bytes, and stay there, used, until they are read |
//! | `/dev/virtio_helloN-stream`, written | from the guest | a fixed number of chains, so who writes waits for one |
//! | `/dev/virtio_helloN-events` | to the guest | as bytes that are read, but one event a chain |
//!
//! | source | what it is about |
//! |---|---|
//! | `device` | a device: from its probe to its removal |
//! | `nodes` | the numbers and the names of its files |
//! | `facts` | what sysfs tells of it |
//! | `message`, `echo`, `echo_file` | a message; its way through the queue; the file |
//! | `inflow`, `outflow` | chains that wait to be filled, and chains that wait to be taken |
//! | `stream`, `events` | their files |
//! | `waiting` | how a task waits for any of these |
//!
//! # What is agreed on
//!
//! Each feature of the device can be refused by a parameter, as in `modprobe virtio_hello reverse=n`.
//! What was offered and what was agreed on is in sysfs: `/sys/bus/virtio/devices/virtioN/hello`.
//!
//! # When the device goes
//!
//! Its files go, and those that are open live on: what had come from the device can still be read,
//! and then reading, like writing, is `ENODEV`. It is not the end of the file, which would say that
//! all is well: a program that copies a stream must not take the half that it got for the whole. Who
//! waits is woken. `poll` tells of a hang-up.

#![deny(unsafe_code)]

mod device;
mod echo;
mod echo_file;
mod events;
mod facts;
mod inflow;
mod message;
mod nodes;
mod outflow;
mod stream;
mod waiting;

use blockyard_abi::virtio_hello as abi;
use kernel::prelude::*;
use kit::virtio;

use crate::{device::Hello, nodes::Names};

module! {
    type: VirtioHello,
    name: "virtio_hello",
    authors: ["Blockyard developers"],
    description: "Driver of the virtio device hello: echo, streams, events",
    license: "GPL",
}

kit::module_version!("0.1.0");

kit::module_params! {
    checksum: bool {
        default: true,
        description: "Agree to checksums of messages",
    },
    reverse: bool {
        default: true,
        description: "Agree to have messages reversed",
    },
    events: bool {
        default: true,
        description: "Agree to events",
    },
}

kit::virtio_device_table!(IDS, [abi::DEVICE_ID]);

/// The features that the module's parameters refuse, as a mask.
fn refused() -> u64 {
    let wanted = [
        (abi::F_CHECKSUM, parameters::checksum.value()),
        (abi::F_REVERSE, parameters::reverse.value()),
        (abi::F_EVENTS, parameters::events.value()),
    ];
    wanted
        .iter()
        .fold(0, |mask, (bit, wanted)| mask | u64::from(!wanted) << bit)
}

/// The loaded module.
#[pin_data]
struct VirtioHello {
    #[pin]
    _driver: virtio::Registration<Hello>,
}

impl kernel::InPlaceModule for VirtioHello {
    fn init(_: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let names = Names::new()?;
            Ok(try_pin_init!(Self {
                _driver <- virtio::Registration::register(names),
            }))
        })
    }
}
