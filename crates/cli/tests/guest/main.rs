// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command with a guest. `blockyard test --host` leaves these out, by the name of their module.

#[path = "../common/mod.rs"]
mod common;
mod in_a_guest;
