// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench, in its guests: that a run is complete, and that its report says what the figures depend on. What the figures
//! are is not looked at: a test that measures fails on a busy machine.

use blockyard_bench::report::{Report, SCHEMA, Unit};
use blockyard_bench::stats::MIN_PAIRS;
use blockyard_bench::subject;
use blockyard_bench::{Clock, Options};
use blockyard_lab::{Accel, Kind, Profile};
use blockyard_tests::{machine, run, spec};

/// Nobody measures a kernel that checks itself.
fn is_checked() -> bool {
    let checked = spec().profile != Profile::Base;
    if checked {
        eprintln!("skipped: a kernel that checks itself is not measured");
    }
    checked
}

/// Runs the bench to its end.
#[track_caller]
fn measure(options: &Options) -> Report {
    let outcome = blockyard_bench::run(options).unwrap_or_else(|e| panic!("{e}"));
    outcome.ended.unwrap_or_else(|e| panic!("{e}"));
    outcome.report
}

#[test]
fn a_quick_run_of_one_subject_gives_a_complete_report_of_what_was_asked_for() {
    if is_checked() {
        return;
    }
    // One of each clock, and one of both.
    let only = ["path-read", "read-128k", "randwrite-4k"];
    let options = Options {
        subjects: vec!["simblk".into()],
        only: only.map(String::from).to_vec(),
        quick: true,
        ..Options::default()
    };
    let report = measure(&options);
    assert_eq!((report.schema.as_str(), report.quick), (SCHEMA, true));
    assert!(report.host.processors > 0 && !report.host.processor.is_empty(), "{:?}", report.host);

    let clocks: Vec<_> = report.sessions.iter().map(|session| session.clock).collect();
    assert_eq!(clocks, [Clock::Wall, Clock::Instructions]);
    let suite = subject::all(subject::DISK_MIB).into_iter().find(|s| s.name == "simblk").unwrap().suite;
    for session in &report.sessions {
        let guest = &session.guest;
        assert!(guest.kernel.starts_with("7.") && guest.fio.starts_with("fio-"), "{guest:?}");
        assert!(guest.rustc.starts_with("rustc ") && !guest.qemu.is_empty(), "{guest:?}");
        assert!(session.missing.is_empty(), "{:?}", session.missing);
        let measured: Vec<_> = session.comparisons.iter().map(|c| c.workload.clone()).collect();
        let mut wanted: Vec<_> = suite.workloads(session.clock, true).iter().map(|w| w.to_string()).collect();
        wanted.retain(|workload| only.iter().any(|part| workload.contains(part)));
        assert_eq!((measured.len(), &measured), (2, &wanted));
        for comparison in &session.comparisons {
            assert_eq!((comparison.subject.as_str(), comparison.peer.as_str()), ("simblk", "brd"));
            assert_eq!(comparison.ours.len(), comparison.theirs.len());
            assert!(comparison.ours.len() >= MIN_PAIRS, "{comparison:?}");
            assert!(comparison.ours.iter().chain(&comparison.theirs).all(|f| *f > 0.0), "{comparison:?}");
            assert!(comparison.ratio.is_some() != comparison.caveat.is_some(), "{comparison:?}");
            let by_wall = comparison.unit == Unit::IosPerSecond;
            assert_eq!(by_wall, session.clock == Clock::Wall, "{comparison:?}");
            assert_eq!(by_wall, comparison.latency.is_some(), "{comparison:?}");
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    report.write(&path).unwrap();
    assert_eq!(Report::read(&path).unwrap(), report);
}

/// That all of them and their peers can be made, measured and taken away. (Ends with an error if the kernel complains.)
#[test]
#[ignore = "takes minutes"]
fn every_subject_can_be_measured() {
    if is_checked() {
        return;
    }
    let options = Options { clocks: vec![Clock::Instructions], quick: true, ..Options::default() };
    let report = measure(&options);
    let [session] = &report.sessions[..] else { panic!("{} sessions", report.sessions.len()) };
    assert!(session.missing.is_empty(), "{:?}", session.missing);
    for subject in subject::all(subject::DISK_MIB) {
        let measured = session.comparisons.iter().filter(|c| c.subject == subject.name);
        let wanted = subject.suite.workloads(Clock::Instructions, true);
        assert_eq!(measured.count(), wanted.len(), "{}", subject.name);
    }
}

/// That one instruction is one nanosecond: of a loop that the host's speed has no part in, run twice.
#[test]
fn a_guest_whose_clock_counts_instructions_repeats_its_figures() {
    run(machine().accel(Accel::Icount), |guest| {
        assert_eq!(guest.check("nproc")?.trim(), "1");
        guest.push(&blockyard_lab::programs::ensure()?.gauge(), "/usr/bin/gauge")?;
        guest.check("udevadm settle --timeout=60")?;
        // Nothing may run beside it, so what it says is taken apart out here. What else the guest does now and then is in
        // the count; the least of a few is the loop alone.
        let least = || -> blockyard_lab::Result<u64> {
            let mut counts = Vec::new();
            for _ in 0..6 {
                let said = guest.check("gauge copy 4096 4096 20000")?;
                let said: serde_json::Value = serde_json::from_str(&said).expect("gauge prints JSON");
                counts.push(said["copy_ns"].as_u64().expect("a number of instructions"));
            }
            Ok(counts.into_iter().min().expect("six of them"))
        };
        let (first, second) = (least()?, least()?);
        assert!(
            (first as f64 / second as f64 - 1.0).abs() < 0.02,
            "{first} and {second} instructions for the same"
        );
        Ok(())
    });
}

#[test]
fn two_processors_are_too_many_to_count_the_instructions_of() {
    let error = machine().accel(Accel::Icount).cpus(2).boot().unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("one processor"), "{error}");
}
