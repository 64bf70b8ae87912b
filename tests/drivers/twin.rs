// SPDX-License-Identifier: MIT OR Apache-2.0
//! A second module with the entries of a first one: a copy whose module has another name, so that both can be loaded.

use blockyard_lab::{Guest, Result};
use blockyard_tests::driver;

/// What the copy's module is called.
pub const NAME: &str = "twin";

/// Puts a copy of this driver's module into the guest, and gives its path there.
pub fn push(guest: &Guest, driver_name: &str) -> Result<String> {
    let mut module = std::fs::read(driver(driver_name).path()).expect("the module that was built");
    // In `struct module` the name stands after a state and a list that are empty, in 56 bytes.
    let (before, room) = (16, 56);
    let mut places = (before..module.len() - room).filter(|&at| {
        let rest = module[at..at + room].strip_prefix(driver_name.as_bytes());
        rest.is_some_and(|rest| rest[..40].iter().all(|&b| b == 0))
            && module[at - before..at].iter().all(|&b| b == 0)
    });
    let (place, other) = (places.next(), places.next());
    assert!(other.is_none(), "the name stands twice");
    let place = place.expect("the module's own name");
    module[place..place + room].fill(0);
    module[place..place + NAME.len()].copy_from_slice(NAME.as_bytes());
    let path = format!("/tmp/{NAME}.ko");
    guest.write(&path, module)?;
    Ok(path)
}
