// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each feature, refused by the driver's user and not offered by the device: what is agreed on, and what that changes.

use blockyard_lab::{Device, Guest, Result};

use super::{ECHO, EVENTS, FACTS, wait_for_files, without_device};

const NAMES: [&str; 3] = ["checksum", "reverse", "events"];

/// Looks at everything that the agreed features change.
fn assert_agreed(guest: &Guest, on: [bool; 3], what: &str) -> Result<()> {
    let names: Vec<_> = NAMES.iter().zip(on).filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let expected = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    assert_eq!(guest.check(&format!("cat {FACTS}/agreed"))?.trim(), expected, "{what}");
    // The kernel's own word for it.
    let bits: String = on.map(|on| if on { '1' } else { '0' }).iter().collect();
    assert_eq!(guest.check(&format!("cut -c 1-3 {FACTS}/../features"))?.trim(), bits, "{what}");

    let reversed = guest.exec("chrctl echo --reverse abc")?;
    if on[1] {
        assert_eq!(reversed.stdout_text(), "cba\n", "{what}");
    } else {
        assert!(reversed.stderr_text().contains("no feature that the driver has agreed on"), "{what}");
    }
    let events = guest.exec(&format!("test -c {EVENTS}"))?;
    assert_eq!(events.status.success(), on[2], "{what}");
    guest.check(&format!("/tmp/chrtest echo-many {ECHO} 50 3000 8")).map(drop)
}

#[test]
fn each_feature_is_on_or_off_by_either_side() {
    without_device(|guest| {
        // By the device.
        for off in [None, Some(0), Some(1), Some(2)] {
            let spec = off.map_or("hello".into(), |bit: usize| format!("hello,no-{}", NAMES[bit]));
            let name = guest.attach_device(Device::new(&spec))?;
            wait_for_files(guest)?;
            let on = [0, 1, 2].map(|bit| Some(bit) != off);
            assert_agreed(guest, on, &spec)?;
            assert_eq!(
                guest.check(&format!("cat {FACTS}/offered"))?,
                guest.check(&format!("cat {FACTS}/agreed"))?
            );
            guest.detach_device(&name)?;
        }
        // By the driver's user: each alone, and all of them.
        let name = guest.attach_device(Device::new("hello"))?;
        wait_for_files(guest)?;
        for refused in [[true, false, false], [false, true, false], [false, false, true], [true; 3]] {
            let parameters: Vec<_> =
                NAMES.iter().zip(refused).map(|(name, off)| format!("{name}={}", u8::from(!off))).collect();
            let parameters = parameters.join(" ");
            guest.check(&format!("rmmod virtio_hello && modprobe virtio_hello {parameters}"))?;
            wait_for_files(guest)?;
            assert_agreed(guest, refused.map(|refused| !refused), &parameters)?;
            assert_eq!(guest.check(&format!("cat {FACTS}/offered"))?, "checksum reverse events\n");
        }
        guest.detach_device(&name)
    });
}
