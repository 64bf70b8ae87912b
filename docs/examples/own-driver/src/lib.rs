// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver of the book's page "Write your own driver": `tally.rs` is the kernel's side, and belongs into
//! `kernel/drivers/tally`; `tests/tally.rs` is its test.
