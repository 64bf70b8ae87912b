// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hello` as a guest without a driver for it sees it, and as the host does.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use blockyard_lab::{Device, Kind};
use blockyard_tests::on_guest_of;

use crate::{GENERIC, machine, with_device};

#[test]
fn the_guest_sees_its_id_and_would_load_a_driver_by_it() {
    with_device(GENERIC, "hello", |guest| {
        let sysfs = guest.device("hello0")?.sysfs()?;
        let seen =
            guest.check(&format!("cat {sysfs}/device {sysfs}/vendor {sysfs}/modalias {sysfs}/status"))?;
        assert_eq!(seen, "0x0023\n0x1af4\nvirtio:d00000023v00001AF4\n0x00000001\n");
        Ok(())
    });
}

#[test]
fn it_comes_and_goes_with_any_options() {
    on_guest_of(GENERIC, |guest| {
        for options in
            ["", ",no-checksum", ",no-reverse,no-events,queue-size=16", ",capacity=1,max-message=64M"]
        {
            let name = guest.attach_device(Device::new(format!("hello{options}")))?;
            let sysfs = guest.device(&name)?.sysfs()?;
            assert_eq!(guest.check(&format!("cat {sysfs}/device"))?, "0x0023\n", "{options}");
            guest.detach_device(&name)?;
            guest.check(&format!("! test -e {sysfs}"))?;
        }
        Ok(())
    });
}

#[test]
fn two_of_them_have_a_stream_socket_each_for_this_user_alone() {
    with_device(GENERIC, "hello", |guest| {
        guest.attach_device(Device::new("hello").name("other"))?;
        for name in ["hello0", "other"] {
            let socket = guest.device(name)?.beside("stream");
            let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", socket.display());
            UnixStream::connect(&socket).unwrap();
        }
        guest.detach_device("other")
    });
}

#[test]
fn a_backend_that_is_killed_is_the_named_cause() {
    let guest = machine().device(Device::new("hello")).boot().unwrap();
    let pid = guest.device("hello0").unwrap().pid().unwrap();
    let mut running = guest.command(["sh", "-c", "echo ready; sleep 1000"]).spawn().unwrap();
    running.wait_for_text("ready", std::time::Duration::from_secs(20)).unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    let error = running.wait().unwrap_err();
    assert_eq!(error.kind(), Kind::MachineDied, "{error}");
    assert!(error.to_string().contains("hello0") && error.to_string().contains("signal 9"), "{error}");
}

#[test]
fn options_that_make_no_sense_are_wrong_use_in_the_devices_own_words() {
    let error = machine().device(Device::new("hello,capacity=0")).boot().unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    assert!(error.to_string().contains("capacity"), "{error}");
    let error = machine().device(Device::new("floppy")).boot().unwrap_err();
    assert!(error.to_string().contains("hello"), "{error}");
}
