// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages of the book (`docs/src`) as programs: what a page shows is typed into a guest, and what the guest answers
//! is held against what the page says. One parser serves three: the reader, who sees the page; the test, which
//! runs every page; and `blockyard try`, which types a page's commands for a person.
//!
//! # The notation
//!
//! The commands of a page are in its fenced blocks of the language `console`, all typed into one shell (bash, as root) of
//! one guest, in order:
//!
//! ````text
//! ```console
//! # insmod $(modinfo -n hello) count=3
//! # dmesg | tail -n 1
//! [    1.742961] hello: count is 3
//! # rmmod no_such_module  # fails
//! rmmod: ERROR: Module no_such_module is not currently loaded
//! ```
//! ````
//!
//! | in a block | means |
//! |---|---|
//! | a line that begins with `# ` | a command |
//! | `> ` below a command that ends with a backslash | the command goes on |
//! | `# fails` at the end of a command, maybe with `: why` | it must exit with something other than 0; any other with 0 |
//! | `[..]` within a line | any text |
//! | a line `...` | any number of lines |
//! | a time of the kernel log, `[    1.742961]` | any such time |
//! | every other line | what the command prints, standard output and standard error as they come |
//!
//! The guest has a spare disk, `/dev/vda` of 64 MiB, for pages that need a device to drive.
//! A line `<!-- device: SPEC -->` near a page's beginning gives its guest that virtio device of ours.
//!
//! Between two commands udev settles, as it has when a person types. A command that is run on the reader's own machine
//! belongs into a block of another language (`sh`), and is not run here.

mod check;
mod console;
mod headings;
mod page;
mod pattern;
mod rewrite;
mod shelf;
mod shell;

/// Bytes of the spare disk of a page's guest.
pub const SPARE: u64 = 64 << 20;

pub use check::{problems, without_page};
pub use console::Entry;
pub use page::Page;
pub use pattern::matches;
pub use rewrite::{Said, rewrite};
pub use shelf::Book;
pub use shell::{Answer, Audience, play};
