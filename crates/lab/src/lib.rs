// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels, root file systems, machines and guests as values.

pub mod apt;
pub mod cache;
pub mod error;
pub mod interrupt;
pub mod klog;
pub mod process;
pub mod progress;

pub use error::{Error, Kind, Result};
