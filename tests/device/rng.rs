// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rng` under Linux's own virtio_rng.

use blockyard_lab::Device;
use blockyard_tests::on_guest_of;

use crate::{STANDARD, with_device};

#[test]
fn the_guest_reads_the_hosts_randomness() {
    with_device(STANDARD, "rng", |guest| {
        // The machine has a source of QEMU's own, too, in a slot before ours.
        let sources = guest.check("cat /sys/class/misc/hw_random/rng_available")?;
        assert!(sources.contains("virtio_rng.1"), "{sources}");
        guest.check("echo virtio_rng.1 >/sys/class/misc/hw_random/rng_current")?;
        let before = guest.device("rng0")?.counters()?["rng.bytes"];
        guest.check("dd if=/dev/hwrng of=/tmp/random bs=4k count=16 iflag=fullblock status=none")?;
        let after = guest.device("rng0")?.counters()?["rng.bytes"];
        assert!(after - before >= 65536, "{before} to {after}");
        // Bytes of a generator do not compress.
        let packed: u64 = guest.check("gzip -9 </tmp/random | wc -c")?.trim().parse().unwrap();
        assert!(packed >= 65536, "{packed}");
        Ok(())
    });
}

#[test]
fn it_comes_and_goes_while_the_guest_reads() {
    on_guest_of(STANDARD, |guest| {
        for _ in 0..3 {
            let name = guest.attach_device(Device::new("rng"))?;
            guest.check("echo virtio_rng.1 >/sys/class/misc/hw_random/rng_current")?;
            let reader = guest.command(["sh", "-c", "cat /dev/hwrng >/dev/null"]).spawn()?;
            guest.check("dd if=/dev/hwrng of=/dev/null bs=512 count=8 status=none")?;
            guest.detach_device(&name)?;
            assert!(!guest.check("cat /sys/class/misc/hw_random/rng_available")?.contains("virtio_rng.1"));
            drop(reader);
        }
        Ok(())
    });
}
