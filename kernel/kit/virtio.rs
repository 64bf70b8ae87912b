// SPDX-License-Identifier: GPL-2.0

//! virtio drivers: queues that own what is in them, features as types, the configuration space.
//!
//! A driver hands memory to a device and gets it back later, or never: the device may be pulled
//! out, or hang, or lie. In C it is the driver that must remember what it has handed out, and
//! collect it when the device goes. Here the queue owns it, and gives it back by itself.
//!
//! # To write a driver
//!
//! - Say what a chain is made of: a type that owns the memory ([`Buffers`]). A [`Chain`] of it is
//!   what goes into a queue and comes back.
//! - For each kind of queue write a [`Handler`]: what happens to a chain that comes back, and what
//!   the queue's lock guards for the driver.
//! - Implement [`Driver`] for what the driver keeps per device: its ids (by
//!   [`virtio_device_table!`](crate::virtio_device_table), which also has the module loaded when
//!   such a device appears), its features, `probe`, which makes the queues, `start`, which lets
//!   user space in, and `remove`.
//! - Keep a [`Registration`] in the module, before whatever the devices share.
//!
//! # The life of a chain
//!
//! | state | it is owned by | goes on to |
//! |---|---|---|
//! | free | the driver, as a [`Chain`], which derefs to its contents | lent, by [`Locked::add`]; or dropped |
//! | lent, the device has not seen it | the queue | lent and seen, when the queue is unlocked: then the device is told |
//! | lent and seen | the queue; the device reads and writes its memory | used, when the device says so |
//! | used | the queue | free, by [`Locked::pop`], or as [`Outcome::Used`] by [`Handler::back`] |
//! | left over, when the queue stops | the queue | free, by [`Handler::back`]: as [`Outcome::Used`] if the device was done with it, else as [`Outcome::Unused`] |
//!
//! [`Locked::add`] takes the chain by value, so while it is lent nobody can look at it, free it, or
//! lend it twice. A chain that is refused comes back in the error ([`Refused`]). All memory told by
//! [`Buffers::describe`] is borrowed from the chain's contents at once, so it cannot be anybody
//! else's, nor be less long-lived, nor be freed while the rest is told.
//!
//! # How a device goes
//!
//! However it goes (the driver is unbound, its module unloaded, the device unplugged, pulled out,
//! found to be broken, or `start` has failed), this happens, and a driver cannot leave any of it
//! out:
//!
//! 1. No change of the configuration is told any more.
//! 2. [`Driver::remove`]. (If a queue is broken, 3 to 6 come first of all: neither this nor a
//!    [`Driver::config_changed`] that still runs must wait for what cannot come.)
//! 3. Each queue is disconnected: from now on it refuses chains ([`Why::Gone`]) and gives none.
//! 4. Whoever is just notifying the device has done so (`synchronize_rcu()`).
//! 5. The device is reset, and touches no memory any more; callbacks have returned.
//! 6. Each chain that is left comes back through [`Handler::back`]; then [`Handler::stopped`] tells
//!    that there is none.
//! 7. The device is reset once more, if 3 to 6 came early: the core may have started it in between.
//!    The virtqueues are deleted, and the driver's value is dropped. References to it, and to its
//!    queues, may live on: they find queues that are empty and refuse everything.
//!
//! # A device that lies
//!
//! | it | then |
//! |---|---|
//! | returns a chain that it was not given, or twice | the core breaks the queue; the kit stops all of them, and what is lent comes back |
//! | claims to have written more than there was room for | the length is cut to the room |
//! | writes after it has returned a chain | as with any device that can write to memory; an IOMMU, if the machine has one, stops it |
//! | changes its configuration without end | reading it fails with `EIO` |
//! | has a configuration that is too short for a field without a feature bit | over PCI the transport's own check ends the kernel (`BUG()`); over MMIO the slot's next bytes are read |
//! | interrupts for nothing, or too early, or too late | nothing is found, and nothing happens |
//!
//! # Contexts and locks
//!
//! [`Handler::notified`] and, by way of it, [`Handler::back`] run in hard interrupts: they must not
//! sleep, and what they share with tasks must be behind the queue's lock ([`Locked::state`]) or
//! atomic. The queue's lock turns interrupts off. No function of the driver's is called with it
//! held, save [`Buffers::describe`], which only tells.
//!
//! A device is told of what was added when the queue is unlocked, after it is unlocked, and only if
//! it wants to be told. So who adds several chains locks the queue once.
//!
//! Suspending to RAM or disk is refused, and so is a reset by the transport: the chains would have
//! to come back from it.
//!
//! # Counterparts in C
//!
//! | here | there |
//! |---|---|
//! | [`Registration`], [`Driver`] | `struct virtio_driver`, `register_virtio_driver()` |
//! | [`IdTable`] | `MODULE_DEVICE_TABLE(virtio, ..)`, `struct virtio_device_id` |
//! | [`Device`], [`Setup`] | `struct virtio_device`; `virtio_find_vqs()` and `virtio_device_ready()` come after `probe` |
//! | [`Features`] | `virtio_has_feature()` |
//! | [`Config`], [`Field`] | `virtio_cread()`, `virtio_cread_feature()`, `virtio_cwrite()` |
//! | [`Queue`] | `struct virtqueue` and the driver's lock for it |
//! | [`Chain`], [`Buffers`] | `struct scatterlist`, and the `data` of `virtqueue_add_sgs()` |
//! | [`Locked::add`], [`Locked::pop`] | `virtqueue_add_sgs()`, `virtqueue_get_buf()` |
//! | dropping [`Locked`] | `virtqueue_kick_prepare()`, `virtqueue_notify()` |
//! | [`CpuMap`] | `get_vq_affinity` of `struct virtio_config_ops` |
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

mod bound;
mod chain;
mod config;
mod cpu_map;
mod device;
mod driver;
mod feature;
mod handler;
mod id;
mod link;
mod locked;
mod queue;
mod table;

pub use self::chain::{Buffers, Chain};
pub use self::config::{Config, Field, OptionalField, Snapshot, Value};
pub use self::cpu_map::CpuMap;
pub use self::device::{Device, Setup};
pub use self::driver::{Driver, Registration};
pub use self::feature::Features;
pub use self::handler::{Handler, Outcome};
pub use self::id::{IdTable, Ids};
pub use self::locked::{Locked, Refused, Unfit, Why};
pub use self::queue::Queue;
pub use self::table::{Readable, Writable};
