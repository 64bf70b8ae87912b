// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels, root file systems, machines and guests as values.

pub mod error;
pub mod interrupt;
pub mod process;

pub use error::{Error, Kind, Result};
