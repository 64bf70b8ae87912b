// SPDX-License-Identifier: MIT OR Apache-2.0
//! `console` under Linux's own virtio_console.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use blockyard_lab::Guest;

use crate::{GENERIC, with_device};

fn connect(guest: &Guest, device: &str) -> BufReader<UnixStream> {
    let socket = guest.device(device).unwrap().beside("console");
    let stream = UnixStream::connect(&socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    BufReader::new(stream)
}

fn line(from: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line comes");
    line.trim_end().to_owned()
}

#[test]
fn lines_go_both_ways_and_what_was_printed_before_is_kept() {
    with_device(GENERIC, "console,size=100x40", |guest| {
        guest.check("stty -F /dev/hvc0 raw -echo && echo printed before >/dev/hvc0")?;
        let mut host = connect(guest, "console0");
        assert_eq!(line(&mut host), "printed before");
        let reply = guest.command(["sh", "-c", "echo listening; head -n 1 </dev/hvc0"]).spawn()?;
        host.get_mut().write_all(b"typed on the host\n").unwrap();
        let reply = reply.wait()?;
        assert!(reply.stdout_text().contains("typed on the host"), "{}", reply.stdout_text());
        assert_eq!(guest.check("stty -F /dev/hvc0 size")?.trim(), "40 100");
        Ok(())
    });
}

#[test]
fn a_guest_that_prints_never_waits_for_a_reader() {
    with_device(GENERIC, "console", |guest| {
        guest.check("stty -F /dev/hvc0 raw -echo && seq 1 20000 >/dev/hvc0 && echo the end >/dev/hvc0")?;
        let counters = guest.device("console0")?.counters()?;
        assert!(counters["console.forgotten"] > 0, "{counters:?}");
        let mut host = connect(guest, "console0");
        let last =
            std::iter::from_fn(|| Some(line(&mut host))).find(|line| line == "the end" || line.is_empty());
        assert_eq!(last.as_deref(), Some("the end"));
        Ok(())
    });
}

#[test]
fn a_file_takes_what_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("printed, all of it");
    let spec = format!("console,file={}", file.display().to_string().replace(',', ",,"));
    with_device(GENERIC, &spec, |guest| {
        guest.check("stty -F /dev/hvc0 raw -echo && seq 1 1000 >/dev/hvc0").map(drop)
    });
    let printed = std::fs::read_to_string(&file).unwrap();
    assert_eq!(printed.lines().last(), Some("1000"), "{} bytes", printed.len());
}
