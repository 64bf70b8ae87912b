// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands: streams apart, exit codes and signals exact, any amount of data, any number at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blockyard_lab::guest::{Status, To};
use blockyard_lab::{Guest, Kind, Result};

use crate::on_bare_guest;

#[test]
fn a_command_is_as_if_it_were_local() {
    on_bare_guest(|guest| {
        streams_are_apart(guest)?;
        ends_are_exact(guest)?;
        arguments_and_surroundings_arrive(guest)
    });
}

fn streams_are_apart(guest: &Guest) -> Result<()> {
    let output = guest.exec("printf out; printf err >&2; exit 7")?;
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out"[..], &b"err"[..]));
    assert_eq!(output.status, Status::Exited(7));
    Ok(())
}

fn ends_are_exact(guest: &Guest) -> Result<()> {
    let killed = guest.exec("kill -9 $$")?.status;
    assert_eq!((killed, killed.code()), (Status::Signaled(9), 137));
    let missing = guest.command(["no-such-program"]).run()?;
    assert_eq!(missing.status, Status::Exited(127));
    assert!(missing.stderr_text().contains("no-such-program"), "{missing:?}");
    assert_eq!(guest.command(["/etc/passwd"]).run()?.status, Status::Exited(126));
    assert_eq!(guest.check("exit 3").unwrap_err().kind(), Kind::Guest);
    Ok(())
}

fn arguments_and_surroundings_arrive(guest: &Guest) -> Result<()> {
    let words = guest.command(["printf", "%s|", "a b", "", "$HOME", "\u{e9}\n"]).run()?;
    assert_eq!(words.stdout_text(), "a b||$HOME|\u{e9}\n|");
    let around = guest.command(["sh", "-c", "echo $X $HOME; pwd"]).env("X", "1").dir("/tmp").run()?;
    assert_eq!(around.stdout_text(), "1 /root\n/tmp\n");
    assert_eq!(guest.check("cat /proc/self/oom_score_adj")?.trim(), "0", "only the agent is spared");
    Ok(())
}

#[test]
fn much_data_arrives_whole_both_ways() {
    on_bare_guest(|guest| {
        let every_byte: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let back = guest.command(["cat"]).stdin(every_byte.clone()).run()?;
        assert!(back.stdout == every_byte, "{} bytes came back", back.stdout.len());
        let unread = guest.command(["true"]).stdin(every_byte).run()?;
        assert!(unread.status.success(), "a command need not read its input");
        hundred_megabytes(guest)
    });
}

fn hundred_megabytes(guest: &Guest) -> Result<()> {
    const LINE: &[u8] = b"0123456789abcdef\n";
    const SIZE: usize = 100_000_000;
    let mut got = 0;
    let whole = |to, bytes: &[u8]| {
        assert_eq!(to, To::Stdout);
        let expected = LINE.iter().cycle().skip(got % LINE.len());
        assert!(bytes.iter().zip(expected).all(|(a, b)| a == b), "wrong bytes after {got}");
        got += bytes.len();
        Ok(())
    };
    let command = format!("yes 0123456789abcdef | head -c {SIZE}");
    guest.command(["sh", "-c", &command]).on_output(whole).run()?;
    assert_eq!(got, SIZE);
    Ok(())
}

#[test]
fn fifty_commands_run_at_a_time_beside_one_that_is_stuck() {
    on_bare_guest(|guest| {
        // Nobody reads what this one writes.
        let stuck = guest.command(["cat", "/dev/zero"]).spawn()?;
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for i in 0..50 {
                let answered = &answered;
                scope.spawn(move || {
                    let line = format!("read line; echo $line-{i}");
                    let output = guest.command(["sh", "-c", &line]).stdin("x\n").run().unwrap();
                    assert_eq!(output.stdout_text(), format!("x-{i}\n"));
                    answered.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(answered.into_inner(), 50);
        drop(stuck);
        guest.check("while pgrep -x cat; do :; done").map(drop)
    });
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    on_bare_guest(|guest| {
        let started = Instant::now();
        let hang = guest.command(["sh", "-c", "echo begun; sleep 1000 | sleep 1000"]);
        let error = hang.timeout(Duration::from_secs(1)).run().unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert!(started.elapsed() < Duration::from_secs(60));
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("begun"), "what it had said is shown: {cause}");
        guest.check("while pgrep -x sleep; do :; done").map(drop)
    });
}

#[test]
fn a_signal_reaches_the_whole_pipeline_and_a_background_process_is_not_waited_for() {
    on_bare_guest(|guest| {
        let mut pipeline = guest.command(["sh", "-c", "echo ready; sleep 1000 | cat"]).spawn()?;
        pipeline.wait_for_text("ready", Duration::from_secs(20))?;
        pipeline.signal(15)?;
        assert_eq!(pipeline.wait()?.status, Status::Signaled(15));
        let output = guest.exec("sleep 1000 & echo started")?;
        assert_eq!(output.stdout_text(), "started\n");
        guest.check("pkill -x sleep").map(drop)
    });
}
