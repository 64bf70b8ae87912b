// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network: none unless asked for, and then forwards on 127.0.0.1 alone.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use blockyard_tests::run;

use crate::{machine, on_bare_guest};

#[test]
fn there_is_no_network_unless_asked_for() {
    on_bare_guest(|guest| {
        let links = guest.check("ls /sys/class/net")?;
        assert_eq!(links.trim(), "lo");
        Ok(())
    });
}

#[test]
fn a_forwarded_port_reaches_the_guest() {
    // Free now; whoever takes it before QEMU does makes the boot fail, and says so.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    run(machine().forward(port, 80), |guest| {
        let serve = "echo ready; while true; do echo hello | busybox nc -l -p 80; done";
        let mut server = guest.command(["/bin/sh", "-c", serve]).spawn()?;
        server.wait_for_text("ready", Duration::from_secs(10))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut said = String::new();
        // QEMU accepts before anybody in the guest does: an empty answer means to try again.
        while said.is_empty() && Instant::now() < deadline {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("QEMU listens");
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
            let _ = stream.read_to_string(&mut said);
        }
        assert_eq!(said, "hello\n");
        Ok(())
    });
}
