// SPDX-License-Identifier: GPL-2.0

//! The kit: what a driver needs of the kernel and the `kernel` crate does not lend it yet, as safe
//! Rust.
//!
//! All unsafe code of Blockyard's kernel side is here; the drivers deny it. The modules follow the
//! `kernel` crate in form (`#[vtable]` traits, pin-initialisation, `Result`) so that a driver reads
//! as one with both, and so that a part can move upstream.
//!
//! | module | what it gives |
//! |---|---|
//! | [`block`] | bio-based block devices: disks, bios, queue limits, removal under I/O |
//! | [`mem`] | sparse stores with lock-free look-up: the memory of a RAM disk, and of a snapshot |
//! | [`delayed`] | a call at a later time that is over before its target goes |
//! | [`dm`] | device-mapper targets |
//! | [`virtio`] | virtio drivers: queues that own what is in them, features, configuration |
//! | [`chrdev`], [`misc`] | character devices with a number, a class and a node; misc devices |
//! | [`file`], [`ioctl`] | what their open files do; ioctls by typed commands |
//! | [`debugfs`] | files in debugfs that keep the module while they are open |
//! | [`param`] | module parameters that sysfs shows: numbers, booleans, texts, lists |
//! | [`fs`] | file systems in memory |
//! | [`probe`] | a call of ours on entry to a function of the kernel |
//! | [`ring`] | events that are recorded where nothing may wait, and counted if lost |
//! | [`waiters`] | tasks that wait for what happens in any context |
//! | [`irq_work`] | a call that can be asked for in any context |
//! | [`rcu_cell`] | a value that is replaced as a whole, and whose old versions are dropped later |
//! | [`global`] | a value of the module, for callbacks that get nothing to find it by |
//! | [`proc`] | entries in /proc: bytes at offsets, and lists of any length |
//! | [`kobject`] | objects in sysfs with attributes, and uevents when they change |
//! | [`task`] | what the kernel knows of other processes, and signals to them |
//! | [`tails`] | waiting for callbacks of ours that other tasks run to have returned |
//! | [`text`] | short texts that a user writes to a file |
//! | [`flag`], [`noio`], [`capability`], [`modinfo`], [`errno`] | small things |
//!
//! What differs between versions of the kernel is in `compat`, and nowhere else.
//!
//! The kit is linked into each module, whole. A function that is not generic and uses a symbol that
//! another *module* exports must be `#[inline]`, or every driver would depend on that module.
//! In [`dm`] there are some: the device mapper may be a module. All else that is used is in the
//! kernel image.

pub use compat::errno;

pub mod block;
pub mod capability;
pub mod chrdev;
mod compat;
pub mod debugfs;
pub mod delayed;
pub mod dm;
pub mod file;
pub mod flag;
pub mod fs;
pub mod global;
pub mod ioctl;
pub mod irq_work;
pub mod kobject;
pub mod mem;
pub mod misc;
pub mod modinfo;
pub mod noio;
pub mod param;
pub mod probe;
pub mod proc;
pub mod rcu_cell;
pub mod ring;
pub mod tails;
pub mod task;
pub mod text;
pub mod virtio;
pub mod waiters;
