// SPDX-License-Identifier: MIT OR Apache-2.0
//! See `blockyard_device::mock::fuzz::echo`. From `crates/device`:
//! `cargo +nightly fuzz run echo fuzz/corpus/echo fuzz/seeds/echo -- -max_total_time=600`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| blockyard_device::mock::fuzz::echo(data));
