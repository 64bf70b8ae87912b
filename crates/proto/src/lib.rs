// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lab and the agent in the guest say to each other over a virtio-serial port.
//!
//! A port is one byte stream, and it has to carry everything at once: fifty commands with three streams
//! each, files, the kernel log. So it carries [frames](Frame), and each frame that holds data belongs to a
//! numbered stream and a [`Channel`] of it. A sender may only have so many bytes under way on a channel
//! ([`credit`]): a reader who is slow holds up nobody but its own writer, and neither side ever
//! buffers more than [`WINDOW`] bytes a channel.
//!
//! | part | what it is |
//! |---|---|
//! | [`Frame`], [`message`] | the words |
//! | [`Decoder`] | bytes to frames, and finding the start of a conversation |
//! | [`credit`] | flow control, as pure accounting |
//! | [`link`] | the two ends: streams over any reader and writer |
//!
//! A virtio-serial port has no connections of its own: a peer that is killed in the middle of a frame leaves
//! half of it on the way. How a new conversation finds its beginning is told in [`decode`].

pub mod credit;
pub mod decode;
mod frame;
pub mod link;
pub mod message;

pub use decode::{Decoder, ProtocolError};
pub use frame::{Channel, Frame};
pub use link::{Closed, Event, Incoming, Link, Stream};
pub use message::{BootConfig, Exec, Failure, NetConfig, Outcome, Presence, Request};

/// The version of everything in this crate; both ends must have the same, and are built from one source.
pub const VERSION: u16 = 2;

/// The console's level (as in `loglevel=`) of a boot that prints warnings and worse. From the agent's start on, notes are
/// printed too: [`USUAL_LOGLEVEL`].
pub const QUIET_LOGLEVEL: u8 = 5;
/// The console's level of a guest that has booted.
pub const USUAL_LOGLEVEL: u8 = 7;

/// The port of the process that booted the guest, as QEMU names it.
pub const OWNER_PORT: &str = "blockyard.0";
/// The port of any other process, one at a time.
pub const VISITOR_PORT: &str = "blockyard.1";

/// Most data bytes in one frame. What the Linux driver of a port takes in one write.
pub const MAX_DATA: usize = 32 * 1024 - 64;
/// Most bytes of one frame, its header included; a longer one is an error on both ends. The longest are
/// commands with their arguments.
pub const MAX_FRAME: usize = 64 * 1024;
/// Bytes that may be under way on one channel of one stream.
pub const WINDOW: u32 = 256 * 1024;
/// Streams that may be open at a time in one conversation.
pub const MAX_STREAMS: usize = 256;

/// The disk serial by which the agent finds its root file system.
pub const ROOT_SERIAL: &str = "blockyard-root";
/// Where the initramfs holds the [`BootConfig`].
pub const BOOT_CONFIG_PATH: &str = "/blockyard.conf";
/// The folder of the initramfs that is laid over the root file system.
pub const OVERLAY_DIR: &str = "/overlay";
/// How every line begins that the agent writes to the console.
pub const CONSOLE_PREFIX: &str = "blockyard-agent: ";
/// What follows [`CONSOLE_PREFIX`] when the agent gives up booting; the reason is the rest of the line.
pub const CONSOLE_BOOT_FAILED: &str = "cannot boot: ";
