// SPDX-License-Identifier: MIT OR Apache-2.0
//! An example of `blockyard-lab` in somebody else's crate: `tests/greets.rs` builds a C module of three lines and
//! tests it in a guest. Copy the file beside a module of your own and put its folder where the three lines are.
