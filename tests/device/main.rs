// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtio devices over vhost-user: what the lab promises of any, and each of ours under a stock driver.

mod blk;
mod lab;
