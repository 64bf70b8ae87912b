// SPDX-License-Identifier: MIT OR Apache-2.0
//! `simblk`, the simulated disk, in a guest: what it promises, and what bad use of it gets.

mod control;
mod data;
mod log;
mod mapper;
mod memory;
mod module;
mod removal;
