// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the driver logs, and what it does not unless asked.

use blockyard_tests::with_simblk;

const SWITCH: &str = "/sys/kernel/debug/simblk/log_io";

#[test]
fn every_line_begins_with_the_modules_name() {
    with_simblk("disks=2", |guest| {
        let log = guest.dmesg()?;
        let ours: Vec<_> = log.iter().filter(|line| line.text.contains("simblk")).collect();
        assert!(ours.iter().any(|line| line.text.starts_with("simblk: loaded: major ")), "{ours:?}");
        guest.unload("simblk")?;
        assert!(guest.dmesg()?.iter().any(|line| line.text == "simblk: unloading"));
        Ok(())
    });
}

#[test]
fn ios_are_logged_only_while_the_switch_is_on() {
    with_simblk("", |guest| {
        let io = "dd if=/dev/zero of=/dev/simblk0 bs=4k count=1 seek=5 oflag=direct status=none; dmesg | grep -c 'Write sector 40' || true";
        assert_eq!(guest.check(io)?.trim(), "0");
        guest.check(&format!("echo 1 >{SWITCH}"))?;
        assert_eq!(guest.check(io)?.trim(), "1");
        guest.check(&format!("echo 0 >{SWITCH}"))?;
        assert_eq!(guest.check(io)?.trim(), "1");
        Ok(())
    });
}

#[test]
fn open_release_and_decoded_ioctls_are_logged() {
    with_simblk("", |guest| {
        guest.check(&format!("echo Y >{SWITCH}"))?;
        // CDROM_GET_CAPABILITY reaches the driver: _IO('S', 0x31).
        guest.check("blockdev --getsz /dev/simblk0; eject -X /dev/simblk0 2>/dev/null; echo N >/sys/kernel/debug/simblk/log_io")?;
        let log = guest.check("dmesg")?;
        for word in ["engage", "release"] {
            assert!(
                log.lines().any(|l| l.contains("simblk: simblk0") && l.contains(word)),
                "no {word}:\n{log}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_word_that_is_no_boolean_is_refused() {
    with_simblk("", |guest| {
        guest.check(&format!("! echo maybe >{SWITCH} 2>/dev/null"))?;
        assert_eq!(guest.check(&format!("cat {SWITCH}"))?.trim(), "N");
        Ok(())
    });
}
