// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtio devices that live in a process of their own, and plug into an unmodified QEMU over vhost-user.
//!
//! A device is two things. What the guest sees of it as a whole (id, features, configuration, queues) is a
//! [`Device`]; what it does with the messages of one queue is a [`Handler`], which one thread owns. All else is the same
//! for every type, and lives here once:
//!
//! | part | what it is |
//! |---|---|
//! | [`device`] | the two traits, and what a handler may answer |
//! | [`chain`] | a message of the driver: bytes to read, then room to write; nothing about it is trusted |
//! | [`queue`] | one virtqueue: taking chains, giving them back in order, notifying as rarely as may be |
//! | [`serve`] | the socket, one connection after the other, and a clean end |
//! | [`spec`] | `TYPE[,option=value..]`, and the table of types |
//! | [`trace`] | a request as it lies in memory, descriptor by descriptor, for whoever wants to see one |
//! | [`bridge`] | bytes between queues and a program of the host |
//! | [`metrics`] | what was counted |
//! | [`mock`] | a driver for tests: rings and chains, good ones and hostile ones, without a guest |
//!
//! # How to write a device
//!
//! 1. Make a module with the rooms `device` (the [`Device`]), `request` (bytes to a typed request, and nothing else: it
//!    is what gets fuzzed), `io` (what is behind it) and `metrics`. Rooms that would be empty are left out.
//! 2. In [`Handler::handle`], read the request from [`Chain::readable`], write the answer to [`Chain::writable`],
//!    and return [`Answer::Done`] with the number of bytes written; or [`Answer::Later`], to complete it by its ticket; or
//!    [`Answer::NotYet`], to leave it with the driver until the [`Waker`] of the queue is used.
//! 3. Add a line to the table in [`spec`].
//!
//! A message that makes no sense is answered in the device's own words, if it has some; else
//! [`Answer::Broken`] stops the queue with a line in the log.
//!
//! # What a driver cannot do
//!
//! The driver is the guest, and a guest may be hostile. It owns the rings and may change any byte of them at any time. So:
//! every index and address is checked where it is used, and read once; guest memory is only touched through
//! [`vm_memory`]'s volatile slices, which cannot leave the memory that QEMU has shared; the length of a chain, of an
//! indirect table and of what is under way is bounded; a round of work is bounded, too, after which the thread listens
//! to its other events. A queue whose driver breaks these rules stops, and stays so until the driver
//! resets the device.

pub mod blk;
pub mod bridge;
pub mod chain;
pub mod console;
pub mod device;
mod error;
pub mod hello;
pub mod metrics;
pub mod mock;
pub mod queue;
pub mod rng;
pub mod serve;
pub mod spec;
pub mod trace;

pub use chain::{Chain, Readable, Writable};
pub use device::{Answer, Device, Handler, Waker};
pub use error::{Error, Result};
pub use serve::{ServeOptions, Stop, run, serve};
pub use spec::DeviceSpec;

/// The guest's memory, as QEMU has shared it.
pub type Memory = vm_memory::GuestMemoryMmap<()>;
/// A hold on the guest's memory: it stays mapped while this lives, also if QEMU has sent another map since.
pub type MemoryHold = vm_memory::atomic::GuestMemoryLoadGuard<Memory>;
