// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kit's ring (`kernel/kit/ring/queue.rs`), the same source as in the kernel, on the host: with threads, and
//! with every interleaving that the memory model allows.

// Once for each way to run it.
#![allow(clippy::duplicate_mod)]

mod interleavings;
mod threads;
