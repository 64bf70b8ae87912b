// SPDX-License-Identifier: MIT OR Apache-2.0
//! The test of the book's own driver. In your clone the driver is in `kernel/drivers/tally`, and is built with the others;
//! here it is put into a copy.

use std::path::{Path, PathBuf};

use blockyard_lab::{Kernel, KernelSpec, Machine, Result, modules, workspace};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tally.rs");

/// A copy of the kernel side with one more driver: ours.
fn kernel_side_with_tally() -> Result<PathBuf> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-side-with-tally");
    workspace::kernel_side_with("tally", Path::new(DRIVER), &copy)?;
    Ok(copy)
}

// ANCHOR: test
#[test]
fn what_is_written_is_counted() -> Result<()> {
    let kernel = Kernel::ensure(&KernelSpec::default())?;
    let built = modules::Build::new(&kernel).sources(kernel_side_with_tally()?).driver("tally").run()?;

    let guest = Machine::builder().kernel(&kernel).driver(&built[0]).boot()?;
    guest.load("tally", "")?;
    guest.check("echo hello >/dev/tally; echo more >/dev/tally")?;
    assert_eq!(guest.check("cat /dev/tally")?, "11 bytes\n");
    guest.unload("tally")?;
    guest.finish()?;
    Ok(())
}
// ANCHOR_END: test
