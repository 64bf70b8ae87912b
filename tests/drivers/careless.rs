// SPDX-License-Identifier: MIT OR Apache-2.0
//! A driver in safe code that says what cannot be: the kit does not pass it on to the kernel, which would believe it.

use std::path::Path;
use std::sync::OnceLock;

use blockyard_lab::{Guest, Result, modules, workspace};
use blockyard_tests::{bare_machine, kernel, run};

const CARELESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/careless/careless.rs");

/// The driver, built on first use.
fn driver() -> &'static modules::Module {
    static BUILT: OnceLock<Vec<modules::Module>> = OnceLock::new();
    &BUILT.get_or_init(|| {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-side-with-careless");
        workspace::kernel_side_with("careless", Path::new(CARELESS), &copy)
            .expect("a copy of the kernel side");
        modules::Build::new(kernel()).sources(copy).driver("careless").run().expect("it builds")
    })[0]
}

/// Runs a test in a guest that has it loaded.
#[track_caller]
fn with_careless(test: impl FnOnce(&Guest) -> Result<()>) {
    run(bare_machine().driver(driver()), |guest| {
        guest.load("careless", "")?;
        guest.check("udevadm settle")?;
        test(guest)?;
        guest.unload("careless")
    });
}

#[test]
fn no_read_gives_more_than_there_is() {
    with_careless(|guest| {
        for file in ["/proc/careless", "/dev/careless"] {
            assert_eq!(guest.check(&format!("cat {file}"))?, "hello\n", "{file}");
            assert_eq!(guest.check(&format!("dd if={file} bs=4 status=none"))?, "hello\n", "{file}");
        }
        // By sendfile() into a pipe, of which the kernel fills as many pages as the count says.
        assert_eq!(guest.check("busybox cat /proc/careless | cat")?, "hello\n");
        Ok(())
    });
}

#[test]
fn sizes_that_cannot_be_are_raised_to_ones_that_can() {
    with_careless(|guest| {
        for (wanted, blocks, least) in
            [("0", 512, 512), ("1", 512, 512), ("511", 512, 512), ("513", 1024, 1024), ("3000", 4096, 4096)]
        {
            guest.check(&format!(
                "dmsetup create sized --table '0 2048 careless {wanted}' && udevadm settle"
            ))?;
            let sizes = guest.check(
                "cd /sys/block/$(basename $(readlink -f /dev/mapper/sized))/queue &&
                 echo $(cat logical_block_size physical_block_size minimum_io_size)",
            )?;
            assert_eq!(sizes.trim(), format!("{blocks} {blocks} {least}"), "of {wanted} bytes");
            guest.check("dmsetup remove sized && udevadm settle")?;
        }
        // One that is larger than the kernel knows is refused, as by any target.
        guest.check(
            "! dmsetup create sized --table '0 2048 careless 4294967295' 2>/tmp/err && grep . /tmp/err",
        )?;
        guest.check("dmsetup remove sized 2>/dev/null || true").map(drop)
    });
}
