// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes to and from a program of the host, and events.

use std::io::{Read, Write};
use std::time::Instant;

use blockyard_abi::virtio_hello::EVENTS_KEPT;
use blockyard_lab::Result;

use super::{EVENTS, LIMIT, STREAM, connect, with_device};

/// Bytes without a pattern.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn bytes_go_both_ways_at_once_and_none_is_lost() {
    const LENGTH: usize = (8 << 20) + 1234;
    let (to_guest, to_host) = (bytes(1, LENGTH), bytes(2, LENGTH));
    with_device("hello", |guest| {
        let dir = tempfile::tempdir().unwrap();
        for (name, contents) in [("to-guest", &to_guest), ("to-host", &to_host)] {
            std::fs::write(dir.path().join(name), contents).unwrap();
            guest.push(&dir.path().join(name), &format!("/tmp/{name}"))?;
        }
        let host = connect(guest, "hello0")?;
        let received = std::thread::scope(|scope| -> Result<Vec<u8>> {
            scope.spawn(|| (&host).write_all(&to_guest).expect("the guest reads"));
            let received = scope.spawn(|| {
                let mut received = vec![0; LENGTH];
                (&host).read_exact(&mut received).expect("the guest writes");
                received
            });
            guest.check(&format!(
                "cat /tmp/to-host >{STREAM} & head -c {LENGTH} {STREAM} | cmp - /tmp/to-guest && wait $!"
            ))?;
            Ok(received.join().expect("it does not panic"))
        })?;
        assert!(received == to_host, "the host has received other bytes than the guest has sent");
        let counters = guest.device("hello0")?.counters()?;
        assert_eq!(counters["hello.to_guest"], LENGTH as u64);
        assert_eq!(counters["hello.from_guest"], LENGTH as u64);
        Ok(())
    });
}

#[test]
fn who_may_not_wait_is_told_so_and_poll_tells_when_it_is_worth_trying() {
    with_device("hello", |guest| {
        let poll = format!("/tmp/chrtest poll {STREAM}");
        let read = format!("/tmp/chrtest read {STREAM} 100 --nonblock");
        assert_eq!(guest.check(&format!("{poll}; {read}"))?, "PollFlags(OUT)\nEAGAIN\n");
        // When the device holds all that it can, the queue is filled, too.
        let writer = guest.command(["dd", "if=/dev/zero", &format!("of={STREAM}"), "bs=64k"]).spawn()?;
        let begun = Instant::now();
        while guest.device("hello0")?.counters()?["hello.from_guest"] < 64 << 10 {
            assert!(begun.elapsed() < LIMIT, "the device takes nothing");
        }
        writer.signal(9)?;
        writer.wait()?;
        let full = guest.exec(&format!("dd if=/dev/zero of={STREAM} bs=64k oflag=nonblock"))?;
        assert!(full.stderr_text().contains("Resource temporarily unavailable"), "{}", full.stderr_text());
        assert_eq!(guest.check(&poll)?, "nothing\n");
        // A signal ends a wait.
        let ended = guest
            .exec(&format!("timeout 0.3 dd if=/dev/zero of={STREAM} bs=64k; timeout 0.3 cat {STREAM}"))?;
        assert_eq!(ended.status.code(), 124);

        let mut host = connect(guest, "hello0")?;
        host.write_all(b"to the guest").unwrap();
        let mut all = vec![0; 64 << 10];
        host.read_exact(&mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == 0));
        // The reader waits for what is on its way; bytes of one piece may be read in several reads.
        let said = guest.check(&format!("head -c 3 {STREAM}; echo; head -c 9 {STREAM}; echo"))?;
        assert_eq!(said.replace('\n', ""), "to the guest");
        assert_eq!(
            guest.check(&format!("until [ \"$({poll})\" = 'PollFlags(OUT)' ]; do :; done; {read}"))?,
            "EAGAIN\n"
        );
        Ok(())
    });
}

#[test]
fn events_are_lines_and_those_that_are_lost_are_counted() {
    with_device("hello", |guest| {
        let next = format!("head -n 1 {EVENTS}");
        drop(connect(guest, "hello0")?);
        assert_eq!(guest.check(&format!("{next}; {next}"))?, "opened 1\nclosed 0\n");
        connect(guest, "hello0")?.write_all(b"12345").unwrap();
        assert_eq!(guest.check(&format!("{next}; {next}; head -c 5 {STREAM}"))?, "opened 2\nclosed 5\n12345");
        assert_eq!(
            guest.check(&format!("/tmp/chrtest poll {EVENTS}; /tmp/chrtest read {EVENTS} 100 --nonblock"))?,
            "nothing\nEAGAIN\n"
        );

        // Two events each, which is more than the queue and the device hold.
        for _ in 0..40 {
            connect(guest, "hello0")?.write_all(b"x").unwrap();
        }
        guest.check(&format!("head -c 40 {STREAM}"))?;
        // One that does not fit into a reader's buffer stays.
        assert_eq!(
            guest.check(&format!("/tmp/chrtest poll {EVENTS}; /tmp/chrtest read {EVENTS} 3"))?,
            "PollFlags(IN)\nEINVAL\n"
        );
        // How many the device could hand on is a matter of how fast it did; those that it keeps are there in any case. Once
        // they are read there is room for the next; if it is lost nevertheless, there is another.
        let every = format!("while {next}; do :; done >/tmp/lines 2>&1");
        let reader = guest.command(["/bin/sh", "-c", &every]).spawn()?;
        guest.check(&format!("until [ $(wc -l </tmp/lines) -ge {EVENTS_KEPT} ]; do :; done"))?;
        let mut opened = 42;
        let mut host;
        loop {
            host = connect(guest, "hello0")?;
            opened += 1;
            let told = format!("until tail -n 1 /tmp/lines | grep -q '^opened {opened}'; do :; done");
            if guest.exec(&format!("timeout 5 sh -c \"{told}\""))?.status.success() {
                break;
            }
            assert!(opened < 50, "{}", guest.check("cat /tmp/lines")?);
        }
        // While the last one is connected there is nothing more to tell.
        let lines = guest.check("cat /tmp/lines")?;
        reader.signal(9)?;
        reader.wait()?;
        drop(host);
        assert!(lines.starts_with("opened 3\n"), "{lines}");
        let lost: usize = lines
            .lines()
            .filter_map(|line| line.split_once(" lost "))
            .map(|(_, lost)| lost.parse::<usize>().expect("a number"))
            .sum();
        assert!(lost > 0, "{lines}");
        // They are missing behind those that were kept, and each but the last has gone; the first two were told of before.
        assert_eq!(lines.lines().count() + lost, 2 * (opened - 3) + 1, "{lines}");
        Ok(())
    });
}
