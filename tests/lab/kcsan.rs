// SPDX-License-Identifier: MIT OR Apache-2.0
//! The profile that looks for data races: it sees those of Rust code, which the kernel's own build does not have it look at.

use std::path::Path;

use blockyard_lab::{Kernel, KernelSpec, Kind, Machine, Profile, modules, workspace};
use blockyard_tests::spec;

/// A driver with a data race.
const RACY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/racy/racy.rs");

#[test]
#[ignore = "builds a kernel"]
fn a_data_race_in_rust_fails_a_run_that_succeeded() {
    let spec = KernelSpec { profile: Profile::Kcsan, ..spec() };
    let kernel = Kernel::ensure(&spec).expect("a kernel with KCSAN");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-side-with-racy");
    workspace::kernel_side_with("racy", Path::new(RACY), &copy).expect("a copy of the kernel side");
    let built = modules::Build::new(&kernel).sources(copy).driver("racy").run().expect("it builds");
    let guest = Machine::builder().kernel(&kernel).driver(&built[0]).boot().expect("a guest");
    guest.load("racy", "").unwrap();
    // Until it was found: KCSAN looks at one access in thousands.
    guest
        .check(
            "for writer in 1 2; do for n in $(seq 200); do
                 dd if=/dev/zero of=/dev/racy bs=1 count=50000 status=none
                 dmesg | grep -q 'KCSAN: .*racy' && break
             done & done; wait",
        )
        .unwrap();
    let error = guest.finish().unwrap_err();
    assert_eq!(error.kind(), Kind::KernelLog, "{error}");
    let text = error.to_string();
    assert!(text.contains("KCSAN: a data race") && text.contains("[racy]"), "{text}");
}
