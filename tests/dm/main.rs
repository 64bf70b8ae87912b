// SPDX-License-Identifier: MIT OR Apache-2.0
//! Device-mapper targets, over real disks in a guest.

mod hello;
mod matrix;
mod snap;
mod stripe2;
