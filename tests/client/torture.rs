// SPDX-License-Identifier: MIT OR Apache-2.0
//! A hostile user of the control device: random ioctls, bad pointers, disks that come and go under I/O. What the driver
//! answers is judged by the program, what it does to the kernel by the log, and what it leaks by unloading it.

use blockyard_lab::programs;
use blockyard_tests::on_guest;

#[test]
fn random_ioctls_get_documented_answers_only() {
    on_guest(|guest| {
        let program = programs::ensure()?.simtorture();
        guest.push(&program, "/tmp/simtorture")?;
        guest.load("simblk", "disks=2")?;
        // What it does to disks that are gone is an error in the log, which is no complaint, but too much to keep.
        guest.check("dmesg -n 1")?;
        let output = guest.exec("/tmp/simtorture --all-disks-will-be-lost --seconds 10")?;
        let said = format!("{}{}", output.stdout_text(), output.stderr_text());
        assert!(output.status.success(), "{said}");
        guest.unload("simblk")
    });
}
