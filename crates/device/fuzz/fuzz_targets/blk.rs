// SPDX-License-Identifier: MIT OR Apache-2.0
//! See `blockyard_device::mock::fuzz::blk`. From `crates/device`:
//! `cargo +nightly fuzz run blk fuzz/corpus/blk fuzz/seeds/blk -- -max_total_time=600`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blockyard_device::mock::fuzz::blk(data));
