// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files in and out: whole or not at all, with their permissions.

use std::os::unix::fs::PermissionsExt;

use blockyard_lab::{Guest, Kind, Result};

use crate::on_bare_guest;

#[test]
fn files_travel_both_ways() {
    on_bare_guest(|guest| {
        what_is_written_is_read(guest)?;
        permissions_come_along(guest)?;
        what_cannot_be_is_named(guest)
    });
}

fn what_is_written_is_read(guest: &Guest) -> Result<()> {
    let content: Vec<u8> = (0..8 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    guest.write("/tmp/big file", &content)?;
    assert!(guest.read("/tmp/big file")? == content);
    guest.write("relative", "")?;
    assert_eq!(guest.check("stat -c %s:%a /root/relative")?.trim(), "0:644");
    let name = guest.read("/proc/sys/kernel/hostname")?;
    guest.write("/proc/sys/kernel/hostname", "renamed")?;
    assert_eq!(guest.read("/proc/sys/kernel/hostname")?, b"renamed\n");
    guest.write("/proc/sys/kernel/hostname", &name)?;
    assert_eq!(guest.check("ls -A /tmp")?.trim(), "big file", "no half file is left");
    Ok(())
}

fn permissions_come_along(guest: &Guest) -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/bin/sh\necho ran $1\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o750)).unwrap();
    guest.push(&script, "/tmp/")?;
    assert_eq!(guest.check("/tmp/script well")?.trim(), "ran well");
    let back = dir.path().join("back");
    guest.pull("/tmp/script", &back)?;
    assert_eq!(back.metadata().unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&script).unwrap());
    Ok(())
}

fn what_cannot_be_is_named(guest: &Guest) -> Result<()> {
    for (path, why) in [("/no/such", "No such file"), ("/tmp", "directory")] {
        let error = guest.read(path).unwrap_err();
        assert_eq!(error.kind(), Kind::Guest);
        assert!(error.to_string().contains(path) && error.to_string().contains(why), "{error}");
    }
    let error = guest.write("/no/such/folder/file", "x").unwrap_err();
    assert!(error.to_string().contains("/no/such/folder/file"), "{error}");
    Ok(())
}
