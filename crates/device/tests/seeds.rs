// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the fuzzers found worth keeping, run once each, on any toolchain.

use std::path::Path;

use blockyard_device::mock::fuzz;

fn each(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        run(&std::fs::read(path).unwrap());
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}

#[test]
fn chains_that_were_kept() {
    each("chain", fuzz::chain);
}

#[test]
fn disk_requests_that_were_kept() {
    each("blk", fuzz::blk);
}

#[test]
fn echoes_that_were_kept() {
    each("echo", fuzz::echo);
}
