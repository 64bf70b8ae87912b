// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loading and unloading: metadata, parameters, refusals.

use blockyard_lab::{Guest, Result};
use blockyard_tests::{on_guest, repeated, with_simblk};

/// Tries to load with these parameters; gives the exit code's refusal and what the kernel logged of it.
fn refused(guest: &Guest, params: &str) -> Result<(String, String)> {
    guest.check("dmesg -C")?;
    let tried = guest.exec(&format!("insmod $(modinfo -n simblk) {params}"))?;
    assert_ne!(tried.status.code(), 0, "insmod took {params}");
    guest
        .check("! lsmod | grep -q simblk && ! test -e /dev/simblk-control && ! grep simblk /proc/devices")?;
    Ok((tried.stderr_text(), guest.check("dmesg")?))
}

#[test]
fn modinfo_is_complete() {
    on_guest(|guest| {
        for field in ["author", "description", "license", "version"] {
            let value = guest.check(&format!("modinfo -F {field} simblk"))?;
            assert!(!value.trim().is_empty(), "modinfo has no {field}");
        }
        assert_eq!(guest.check("modinfo -F license simblk")?.trim(), "GPL");
        assert_eq!(guest.check("modinfo -F depends simblk")?.trim(), "", "a RAM disk depends on no module");
        let params = guest.check("modinfo -F parm simblk")?;
        for name in ["size_mb", "block_size", "disks", "max_memory_mb"] {
            assert!(params.contains(&format!("{name}:")), "modinfo tells of no parameter {name}: {params}");
        }
        Ok(())
    });
}

#[test]
fn wrong_parameters_are_refused_with_a_line_that_names_them() {
    let wrong = [
        ("size_mb=0", "size_mb", "0"),
        ("size_mb=4194305", "size_mb", "4194305"),
        ("max_memory_mb=4194305", "max_memory_mb", "4194305"),
        ("block_size=3000", "block_size", "3000"),
        ("block_size=256", "block_size", "256"),
        ("block_size=8192", "block_size", "8192"),
        ("disks=65", "disks", "65"),
    ];
    on_guest(|guest| {
        for (params, name, value) in wrong {
            let (said, log) = refused(guest, params)?;
            assert!(said.contains("Invalid"), "{params}: no EINVAL: {said}");
            let named = |l: &str| l.contains("simblk:") && l.contains(name) && l.contains(value);
            assert!(log.lines().any(named), "{params}: no line names it:\n{log}");
        }
        Ok(())
    });
}

#[test]
fn text_for_a_number_is_refused() {
    on_guest(|guest| {
        for params in ["size_mb=big", "disks=many", "disks=-1", "block_size=0x", "disks=99999999999"] {
            let (said, _) = refused(guest, params)?;
            assert!(said.contains("Invalid") || said.contains("range"), "{params}: {said}");
        }
        Ok(())
    });
}

#[test]
fn loading_it_twice_says_that_it_is_there() {
    with_simblk("", |guest| {
        let again = guest.exec("insmod $(modinfo -n simblk)")?;
        assert_ne!(again.status.code(), 0);
        assert!(again.stderr_text().contains("File exists"), "{}", again.stderr_text());
        guest.check("test -b /dev/simblk0").map(drop)
    });
}

#[test]
fn modprobe_and_modprobe_r_work() {
    on_guest(|guest| {
        guest.check("modprobe simblk && udevadm settle && test -b /dev/simblk0")?;
        guest.check("modprobe -r simblk && ! test -e /dev/simblk0").map(drop)
    });
}

#[test]
fn no_disk_to_sixty_four_disks() {
    on_guest(|guest| {
        for disks in [0, 1, 64] {
            guest.load("simblk", &format!("disks={disks}"))?;
            guest.check("udevadm settle --timeout=60")?;
            let count = guest.check("ls /sys/block | grep -c '^simblk' || true")?;
            assert_eq!(count.trim(), disks.to_string());
            guest.unload("simblk")?;
        }
        Ok(())
    });
}

#[test]
fn every_block_size_is_what_the_kernel_then_says() {
    on_guest(|guest| {
        for size in [512, 1024, 2048, 4096] {
            guest.load("simblk", &format!("block_size={size}"))?;
            let said = guest.check("blockdev --getss --getsize64 /dev/simblk0")?;
            assert_eq!(
                said.split_whitespace().collect::<Vec<_>>(),
                [size.to_string(), (32 << 20).to_string()]
            );
            guest.unload("simblk")?;
        }
        Ok(())
    });
}

#[test]
fn rmmod_is_refused_while_a_disk_is_mounted() {
    with_simblk("", |guest| {
        guest.check("mkfs.ext4 -q /dev/simblk0 && mkdir -p /mnt/a && mount /dev/simblk0 /mnt/a")?;
        let refused = guest.exec("rmmod simblk")?;
        assert!(refused.stderr_text().contains("in use"), "{}", refused.stderr_text());
        guest.check("echo still here >/mnt/a/f && sync && umount /mnt/a && rmmod simblk").map(drop)
    });
}

repeated!(loads_and_unloads_leave_nothing, 8, 200);

fn loads_and_unloads_leave_nothing(times: u32) {
    on_guest(|guest| {
        // udev opens each new disk and has the module in use until it has looked; so a refused rmmod is
        // right, and right only for as long as udev is at work.
        guest.check(&format!(
            "for i in $(seq {times}); do
                 insmod $(modinfo -n simblk) disks=2 || exit 1
                 rmmod simblk 2>/dev/null || {{ udevadm settle --timeout=60 && rmmod simblk; }} || exit 1
             done"
        ))?;
        guest
            .check("udevadm settle --timeout=60; ! test -e /dev/simblk0 && ! grep simblk /proc/devices")
            .map(drop)
    });
}

#[test]
fn the_module_stays_while_a_counter_is_open() {
    with_simblk("", |guest| {
        guest
            .check("exec 3</sys/kernel/debug/simblk/simblk0/writes; ! rmmod simblk 2>/tmp/err; exec 3>&-")?;
        guest.check("grep 'in use' /tmp/err && rmmod simblk")?;
        Ok(())
    });
}
