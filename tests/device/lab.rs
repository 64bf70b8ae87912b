// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lab promises of any vhost-user device, shown with a disk that another project's program serves.

use std::path::Path;

use blockyard_lab::vhost_user::Shape;
use blockyard_lab::{Device, Guest, Kind};
use blockyard_tests::{on_guest_of, run};

use crate::{GENERIC, STANDARD, machine};

/// A disk in QEMU's storage daemon; nothing if this system has none.
fn disk(image: &Path) -> Option<Device> {
    let found = blockyard_lab::process::find_program("qemu-storage-daemon");
    if found.is_none() {
        eprintln!("skipped: no qemu-storage-daemon");
    }
    std::fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
    let shape = Shape { kind: "qsd".into(), virtio_id: 2, queues: 1, queue_size: 128, config_size: 60 };
    let node = format!("driver=file,node-name=disk,filename={}", image.display());
    let export = "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path={socket}";
    Some(Device::program(shape, found?, ["--blockdev", &node, "--export", export]))
}

fn gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// The node of the disk that this device is.
fn node(guest: &Guest, device: &str) -> blockyard_lab::Result<String> {
    let sysfs = guest.device(device)?.sysfs()?;
    Ok(format!("/dev/{}", guest.check(&format!("udevadm settle && ls {sysfs}/block"))?.trim()))
}

fn write_and_compare(guest: &Guest, device: &str) -> blockyard_lab::Result<()> {
    let disk = node(guest, device)?;
    guest.check(&format!(
        "dd if=/dev/urandom of=/tmp/random bs=64k count=16 status=none && \
         dd if=/tmp/random of={disk} bs=64k oflag=direct status=none && \
         dd if={disk} bs=64k count=16 iflag=direct status=none | cmp - /tmp/random"
    ))?;
    Ok(())
}

#[test]
fn a_disk_that_another_program_serves_is_there_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(&dir.path().join("a.img")) else { return };
    let mut pid = None;
    run(machine().device(disk), |guest| {
        pid = guest.device("qsd0")?.pid();
        guest.check("udevadm settle && test $(blockdev --getsize64 /dev/vda) = 67108864")?;
        write_and_compare(guest, "qsd0")?;
        assert!(
            guest
                .check(&format!("readlink {}/driver", guest.device("qsd0")?.sysfs()?))?
                .ends_with("virtio_blk\n")
        );
        Ok(())
    });
    assert!(gone(pid.unwrap()), "the backend is left");
}

#[test]
fn devices_come_and_go_while_the_guest_runs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(&dir.path().join("a.img")) else { return };
    on_guest_of(STANDARD, |guest| {
        for _ in 0..3 {
            let name = guest.attach_device(disk.clone())?;
            assert_eq!(name, "qsd0");
            write_and_compare(guest, &name)?;
            let disk = node(guest, &name)?;
            let pid = guest.device(&name)?.pid().expect("it runs");
            guest.detach_device(&name)?;
            guest.check(&format!("udevadm settle && ! test -e {disk}"))?;
            assert!(gone(pid), "the backend is left");
        }
        assert_eq!(guest.detach_device("qsd0").unwrap_err().kind(), Kind::NotFound);
        Ok(())
    });
}

#[test]
fn a_machine_that_does_not_expect_a_device_refuses_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(&dir.path().join("a.img")) else { return };
    run(machine(), |guest| {
        let error = guest.attach_device(disk.clone()).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(error.help().unwrap().contains("expect_device"), "{error}");
        Ok(())
    });
}

#[test]
fn a_backend_that_is_started_again_serves_what_has_waited_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(&dir.path().join("a.img")) else { return };
    run(machine().device(disk), |guest| {
        let device = guest.device("qsd0")?;
        let before = device.pid();
        device.kill()?;
        assert_eq!(device.pid(), None);
        let mut writer = guest
            .command(["sh", "-c", "echo begun; exec dd if=/dev/zero of=/dev/vda bs=1M count=8 oflag=direct"])
            .spawn()?;
        writer.wait_for_text("begun", std::time::Duration::from_secs(20))?;
        device.restart()?;
        assert!(writer.wait()?.status.success());
        assert_ne!(device.pid(), before);
        write_and_compare(guest, "qsd0")
    });
}

#[test]
fn a_backend_that_dies_is_a_named_cause_with_the_end_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(&dir.path().join("a.img")) else { return };
    let guest = machine().device(disk).boot().unwrap();
    let qemu = guest.qemu_pid();
    let pid = guest.device("qsd0").unwrap().pid().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    let error = guest.exec("dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct").unwrap_err();
    assert_eq!(error.kind(), Kind::MachineDied, "{error}");
    assert!(error.to_string().contains("qsd0") && error.to_string().contains("signal 9"), "{error}");
    assert_eq!(guest.finish().unwrap_err().kind(), Kind::MachineDied);
    assert!(gone(qemu) && gone(pid));
}

#[test]
fn a_backend_that_refuses_its_work_fails_the_boot_in_its_own_words() {
    let shape = Shape { kind: "qsd".into(), virtio_id: 2, queues: 1, queue_size: 128, config_size: 60 };
    let device = Device::program(shape, "sh", ["-c", "echo no disk today >&2; exit 7"]);
    let error = machine().device(device).boot().unwrap_err();
    assert_eq!(error.kind(), Kind::Lab, "{error}");
    assert!(error.to_string().contains("exit code 7"), "{error}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("no disk today"));
}

#[test]
fn a_machine_that_expects_a_device_of_another_kind_has_a_qemu_that_knows_it() {
    let shape = Shape { kind: "other".into(), virtio_id: 35, queues: 1, queue_size: 64, config_size: 0 };
    let device = Device::program(shape, "sh", ["-c", "echo never mind >&2; exit 7"]);
    on_guest_of(GENERIC, |guest| {
        // The generic frontend is there, or the backend would not have been started.
        let error = guest.attach_device(device.clone()).unwrap_err();
        assert!(error.to_string().contains("exit code 7"), "{error}");
        guest.check("true").map(drop)
    });
}
