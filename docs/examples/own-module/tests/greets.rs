// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel module's test that is a plain `cargo test`: build, boot, load, look, unload, and let the kernel log
//! judge.

use std::path::Path;

use blockyard_lab::{Kernel, KernelSpec, Machine, Result, modules};

/// The module under test. Yours would be a folder of your repository.
const SOURCE: &str = "\
#include <linux/module.h>
static int __init greet(void) { pr_info(\"greets: hello\\n\"); return 0; }
module_init(greet); static void __exit part(void) { } module_exit(part); MODULE_LICENSE(\"GPL\");
";

fn write_module(folder: &Path) {
    std::fs::write(folder.join("greets.c"), SOURCE).expect("the source is written");
    std::fs::write(folder.join("Kbuild"), "obj-m := greets.o\n").expect("the Kbuild file is written");
}

#[test]
fn the_module_greets_and_leaves() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_module(folder.path());

    let kernel = Kernel::ensure(&KernelSpec::default())?;
    let built = modules::build_folder(&kernel, folder.path())?;

    let guest = Machine::builder().kernel(&kernel).driver(&built[0]).boot()?;
    guest.load("greets", "")?;
    assert!(guest.dmesg()?.iter().any(|line| line.text == "greets: hello"));
    guest.unload("greets")?;
    guest.finish()?;
    Ok(())
}
