// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels, root file systems, machines and guests as values.

pub mod accel;
pub mod apt;
pub mod cache;
pub mod doctor;
pub mod error;
mod files;
mod flock;
pub mod guest;
pub mod initramfs;
pub mod interrupt;
pub mod kernel;
pub mod klog;
pub mod machine;
pub mod modules;
pub mod process;
pub mod programs;
pub mod progress;
pub mod qemu;
pub mod qmp;
pub mod registry;
pub mod rootfs;
pub mod toolchain;
pub mod version;
pub mod vhost_user;
pub mod workspace;

pub use accel::{Accel, Engine};
pub use error::{Error, Kind, Result};
pub use guest::{Guest, Visit};
pub use kernel::{Kernel, KernelSpec, Profile};
pub use machine::{Disk, Machine, MachineBuilder};
pub use qemu::QemuChoice;
pub use vhost_user::Device;
