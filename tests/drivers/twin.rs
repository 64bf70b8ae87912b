// SPDX-License-Identifier: MIT OR Apache-2.0
//! A second module with the entries of a first one: a copy whose module has another name, so that both can be loaded.

use blockyard_lab::{Guest, Result};
use blockyard_tests::driver;
use object::{Object, ObjectSection};

/// What the copy's module is called.
pub const NAME: &str = "twin";

/// Puts a copy of this driver's module into the guest, and gives its path there.
pub fn push(guest: &Guest, driver_name: &str) -> Result<String> {
    let mut module = std::fs::read(driver(driver_name).path()).expect("the module that was built");
    // In `struct module`, which is a section of its own, the name stands after a state and a list, in 56 bytes.
    let (before, room) = (24, 56);
    let elf = object::File::parse(&*module).expect("a module is an ELF file");
    let section = elf.section_by_name(".gnu.linkonce.this_module").expect("struct module");
    let (start, _) = section.file_range().expect("it is in the file");
    let place = usize::try_from(start).expect("a file in memory") + before;
    let name = &mut module[place..place + room];
    assert!(name.starts_with(driver_name.as_bytes()), "no name of a module: {name:?}");
    name.fill(0);
    name[..NAME.len()].copy_from_slice(NAME.as_bytes());
    let path = format!("/tmp/{NAME}.ko");
    guest.write(&path, module)?;
    Ok(path)
}
