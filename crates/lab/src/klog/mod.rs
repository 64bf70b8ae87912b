// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel log as a judge: what no healthy kernel says makes a run fail, whatever its exit code was.
//!
//! A driver's test that ends with status 0 while lockdep printed a deadlock has not passed. So the lab reads
//! the log of each guest and holds it against a table of rules ([`RULES`]). The way through:
//!
//! 1. [`parse::kmsg`] or [`parse::console`] turns records of `/dev/kmsg`, or the text of a serial console, into [`Line`]s.
//! 2. [`scan`] finds the reports among them: each is one [`Complaint`] with the rule that names it and the lines that
//!    belong to it, from "cut here" to "end trace".
//! 3. [`Verdict::new`] takes away what a test said that it would provoke ([`Allow`]) and adds what the kernel's taint
//!    flags say though the log does not ([`taint`]). [`Verdict::into_result`] makes it an error of
//!    [`Kind::KernelLog`](crate::error::Kind::KernelLog).
//!
//! Not a complaint, because a healthy kernel says it when a test misbehaves on purpose: I/O errors of the block
//! layer, a file system that finds its disk damaged, the out-of-memory killer, a failed page allocation, a module
//! that does not load, and the taint of a module built outside the kernel's tree. Neither is anything that a
//! user program wrote to `/dev/kmsg` or printed on the console: only the kernel can complain.

mod allow;
mod complaint;
#[cfg(test)]
mod corpus_test;
pub mod parse;
mod rules;
mod scan;
pub mod taint;
pub(crate) mod thin;
mod verdict;

pub use allow::Allow;
pub use complaint::Complaint;
pub use parse::{Line, Origin};
pub use rules::{RULES, Rule};
pub use scan::scan;
pub use verdict::Verdict;
