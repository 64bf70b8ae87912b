// SPDX-License-Identifier: MIT OR Apache-2.0
//! `virtio_hello` on our own device: messages, streams, events, features, and a device that goes while all of that is used.

mod features;
mod files;
mod removal;
mod stream;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use blockyard_lab::{Device, Guest, Result, programs};
use blockyard_tests::{Shape, machine, on_guest_of};

/// The files of the first device.
const ECHO: &str = "/dev/virtio_hello0-echo";
const STREAM: &str = "/dev/virtio_hello0-stream";
const EVENTS: &str = "/dev/virtio_hello0-events";
/// What sysfs tells of the first device.
const FACTS: &str = "/sys/class/virtio_hello/virtio_hello0-echo/device/hello";

/// Longer than anything should take that is waited for.
const LIMIT: Duration = Duration::from_secs(120);

/// Machines that a device can be plugged into.
const EXPECTING: Shape = Shape::new("expecting", || machine().expect_device(Device::new("hello")));

/// Waits until the driver has come by itself and its files are there: that for echoes is the last.
fn wait_for_files(guest: &Guest) -> Result<()> {
    guest.check(&format!("udevadm wait --timeout=120 {ECHO} && udevadm settle")).map(drop)
}

/// Runs a test without a device, and with the program that makes the calls that no shell can.
#[track_caller]
fn without_device(test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest_of(EXPECTING, |guest| {
        guest.push(&programs::ensure()?.chrtest(), "/tmp/chrtest")?;
        test(guest)
    });
}

/// As [`without_device`], with such a device, whose name is `hello0`.
#[track_caller]
fn with_device(spec: &str, test: impl FnOnce(&Guest) -> Result<()>) {
    without_device(|guest| {
        let name = guest.attach_device(Device::new(spec))?;
        wait_for_files(guest)?;
        test(guest)?;
        guest.detach_device(&name)
    });
}

/// Connects to a device's stream, as a program of the host.
fn connect(guest: &Guest, device: &str) -> Result<UnixStream> {
    let socket = guest.device(device)?.beside("stream");
    let stream = UnixStream::connect(&socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
    stream.set_read_timeout(Some(LIMIT)).expect("it is no 0");
    stream.set_write_timeout(Some(LIMIT)).expect("it is no 0");
    Ok(stream)
}
