// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exit codes as if local, ends that have a name, and nothing left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{guest_folders, run, survivors, unshared};

/// The command with a runtime folder of this test's own, so that what it leaves can be counted.
fn blockyard(runtime: &Path) -> Command {
    let mut command = crate::common::blockyard();
    command.env("XDG_RUNTIME_DIR", runtime);
    command
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("by").tempdir().unwrap()
}

/// Waits for what another process does.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn nothing_left(runtime: &Path) {
    eventually("QEMU is gone", || survivors(runtime).is_empty());
    assert_eq!(guest_folders(runtime), Vec::<std::path::PathBuf>::new(), "a guest's folder was left");
}

/// Starts a command and waits until it has printed `line` on standard output.
fn start(command: &mut Command, line: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut said = String::new();
    while !said.contains(line) {
        let n = stdout.read_line(&mut said).expect("it can be read");
        assert!(n > 0, "it ended without saying {line:?}, but: {said}");
    }
    (child, stdout)
}

/// By the shell's own `kill`: a minimal system has no other.
fn signal(pid: u32, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().expect("sh runs");
    assert!(status.success());
}

#[test]
fn streams_are_apart_and_the_exit_code_is_the_commands() {
    let runtime = folder();
    let ran =
        run(blockyard(runtime.path()).args(["exec", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (42, "out\n"), "{ran}");
    assert!(ran.stderr.ends_with("err\n") && !ran.stderr.contains("out\n"), "{ran}");
    nothing_left(runtime.path());
}

#[test]
fn output_that_nobody_reads_ends_the_command_without_a_word() {
    let runtime = folder();
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let ran = run(blockyard(runtime.path()).args(["exec", "--", "dmesg"]).stdout(write));
    assert_eq!(ran.code, 141, "{ran}");
    assert!(!ran.stderr.contains("error"), "{ran}");
    nothing_left(runtime.path());
}

#[test]
fn a_death_by_signal_is_128_and_the_signal() {
    let runtime = folder();
    let ran = run(blockyard(runtime.path()).args(["exec", "--", "sh", "-c", "kill -SEGV $$"]));
    assert_eq!(ran.code, 128 + 11, "{ran}");
}

#[test]
fn a_program_that_is_not_there_is_told_by_name() {
    let runtime = folder();
    let ran = run(blockyard(runtime.path()).args(["exec", "--", "no-such-program"]));
    assert_ne!(ran.code, 0, "{ran}");
    ran.says("no-such-program");
}

#[test]
fn input_and_files_reach_the_command() {
    let (runtime, files) = (folder(), folder());
    let file = files.path().join("data.bin");
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let mut child = blockyard(runtime.path())
        .args(["exec", "--in", file.to_str().unwrap(), "--", "cmp", "-", "data.bin"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_deadline_ends_the_command_and_the_guest() {
    let runtime = folder();
    let ran = run(blockyard(runtime.path()).args(["exec", "--timeout", "2s", "--", "sleep", "1000"]));
    assert_eq!(ran.code, 124, "{ran}");
    ran.says("sleep 1000").says("2 s");
    nothing_left(runtime.path());
}

#[test]
fn a_kernel_panic_is_named_with_the_end_of_the_console() {
    let runtime = folder();
    let ran = run(blockyard(runtime.path()).args([
        "exec",
        "--",
        "sh",
        "-c",
        "echo c >/proc/sysrq-trigger; sleep 60",
    ]));
    assert_eq!(ran.code, 123, "{ran}");
    ran.says("panicked: sysrq triggered crash").says("the console ends with");
    nothing_left(runtime.path());
}

#[test]
fn a_killed_qemu_is_named() {
    let runtime = folder();
    let (child, _stdout) =
        start(blockyard(runtime.path()).args(["exec", "--", "sh", "-c", "echo here; sleep 1000"]), "here");
    let qemu = survivors(runtime.path());
    let pid = qemu.iter().find_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok()).expect("a QEMU");
    signal(pid, "KILL");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(123));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("QEMU was killed by signal 9"), "{stderr}");
    nothing_left(runtime.path());
}

#[test]
fn ctrl_c_ends_the_guest_and_leaves_nothing() {
    let runtime = folder();
    let (child, _stdout) =
        start(blockyard(runtime.path()).args(["exec", "--", "sh", "-c", "echo here; sleep 1000"]), "here");
    signal(child.id(), "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    nothing_left(runtime.path());
}

#[test]
fn ctrl_c_during_the_boot_leaves_nothing() {
    let runtime = folder();
    let mut child =
        blockyard(runtime.path()).args(["exec", "--", "true"]).stderr(Stdio::null()).spawn().unwrap();
    eventually("QEMU has started", || !survivors(runtime.path()).is_empty());
    signal(child.id(), "INT");
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130));
    nothing_left(runtime.path());
}

#[test]
fn ctrl_c_during_the_tour_ends_it_with_a_summary_and_its_own_exit_code() {
    let runtime = folder();
    let (child, mut stdout) = start(blockyard(runtime.path()).arg("run"), "insmod:");
    signal(child.id(), "INT");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{rest}");
    assert!(rest.contains("Summary") && rest.contains("not run"), "{rest}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("error: interrupted"));
    nothing_left(runtime.path());
}

#[test]
fn ctrl_c_during_a_bench_keeps_what_was_measured() {
    let runtime = folder();
    let json = runtime.path().join("report.json");
    let mut bench = blockyard(runtime.path());
    bench.args(["bench", "dm_hello", "--quick", "--only", "randread-4k", "--json"]).arg(&json);
    let mut child = bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    // By one clock it is done, by the other it has begun.
    assert!(stderr.any(|line| line.starts_with("counting instructions")), "it ended before");
    signal(child.id(), "INT");
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(128 + 2), "{said}");
    assert!(said.contains("dm-linear") && said.contains("not everything was measured"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["sessions"][0]["comparisons"][0]["workload"], "randread-4k-psync");
    assert!(report["cut_short"].is_string(), "{report}");
    nothing_left(runtime.path());
}

#[test]
fn a_killed_owner_takes_its_qemu_along_and_the_next_look_sweeps_up() {
    let runtime = folder();
    let (mut child, _stdout) =
        start(blockyard(runtime.path()).args(["exec", "--", "sh", "-c", "echo here; sleep 1000"]), "here");
    signal(child.id(), "KILL");
    child.wait().unwrap();
    eventually("QEMU is gone", || survivors(runtime.path()).is_empty());
    let listed = run(blockyard(runtime.path()).args(["ps", "--json"]));
    assert_eq!(listed.stdout.trim(), "[]", "{listed}");
    nothing_left(runtime.path());
}

/// Those of the survivors that serve devices.
fn backends(runtime: &Path) -> usize {
    let serves = |path: &std::path::PathBuf| {
        std::fs::read(path.join("cmdline"))
            .is_ok_and(|line| line.starts_with(b"/") && line.ends_with(b".sock\0"))
    };
    survivors(runtime).iter().filter(|path| serves(path)).count()
}

#[test]
fn a_device_is_gone_with_its_guest_however_that_ends() {
    for how in ["INT", "TERM", "KILL"] {
        let runtime = folder();
        let (mut child, _stdout) = start(
            blockyard(runtime.path()).args([
                "exec",
                "--device",
                "rng",
                "--",
                "sh",
                "-c",
                "echo here; sleep 1000",
            ]),
            "here",
        );
        assert_eq!(backends(runtime.path()), 1, "one serves the device");
        signal(child.id(), how);
        child.wait().unwrap();
        eventually("all are gone", || survivors(runtime.path()).is_empty());
        // Nobody cleans up after SIGKILL but who looks next.
        run(blockyard(runtime.path()).arg("ps"));
        nothing_left(runtime.path());
    }
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let runtime = folder();
    let start = |word: &str| {
        blockyard(runtime.path()).args(["exec", "--", "echo", word]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let both = [start("one"), start("two")];
    let said = both.map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap());
    assert_eq!(said, ["one\n", "two\n"]);
    nothing_left(runtime.path());
}

#[test]
fn a_running_guest_is_listed_visited_copied_to_and_stopped() {
    let (runtime, files) = (folder(), folder());
    let owner = ["exec", "--", "sh", "-c", "echo here; sleep 1000"];
    let (child, _stdout) = start(blockyard(runtime.path()).args(owner), "here");
    let listed = run(blockyard(runtime.path()).arg("ps"));
    listed.says("yard0");
    let there = files.path().join("there");
    std::fs::write(&there, "carried").unwrap();
    let copied = run(blockyard(runtime.path()).arg("cp").arg(&there).arg("yard0:/root/"));
    assert_eq!(copied.code, 0, "{copied}");
    let visit = run(blockyard(runtime.path()).args(["exec", "--guest", "yard0", "--", "cat", "there"]));
    assert_eq!((visit.code, visit.stdout.as_str()), (0, "carried"), "{visit}");
    let back =
        run(blockyard(runtime.path()).arg("cp").arg("yard0:/root/there").arg(files.path().join("back")));
    assert_eq!(back.code, 0, "{back}");
    assert_eq!(std::fs::read_to_string(files.path().join("back")).unwrap(), "carried");
    let missing = run(blockyard(runtime.path()).args(["cp", "yard0:/no/such", "."]));
    assert_eq!(missing.code, 1, "{missing}");
    missing.says("/no/such");
    let stopped = run(blockyard(runtime.path()).args(["stop", "yard0"]));
    assert_eq!(stopped.code, 0, "{stopped}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(123));
    assert!(String::from_utf8_lossy(&output.stderr).contains("blockyard stop"));
    nothing_left(runtime.path());
}

#[test]
fn boot_without_a_terminal_types_what_comes_and_ends_with_it() {
    let runtime = folder();
    let mut child = blockyard(runtime.path())
        .arg("boot")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"modprobe simblk && echo answer=$((6*7))\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("answer=42"), "{output:?}");
    nothing_left(runtime.path());
}

#[test]
fn an_example_is_typed_as_its_page_says_and_judged() {
    let runtime = folder();
    let ran = run(blockyard(runtime.path()).args(["try", "hello"]));
    assert_eq!(ran.code, 0, "{ran}");
    ran.says("# insmod $(modinfo -n hello)").says("hello: goodbye").says("Invalid parameters");
    nothing_left(runtime.path());
}

#[test]
fn the_tour_holds_and_its_json_says_so() {
    let (runtime, files) = (folder(), folder());
    let json = files.path().join("tour.json");
    let ran = run(blockyard(runtime.path()).arg("run").arg("--json").arg(&json));
    assert_eq!(ran.code, 0, "{ran}");
    ran.says("17 of 17 steps held");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let steps = report["steps"].as_array().expect("steps");
    assert!(steps.len() >= 17 && steps.iter().all(|step| step["outcome"] == "passed"), "{report:#}");
    let figures =
        steps.iter().find(|step| step["name"] == "fio").map(|step| step["figures"].as_array().map(Vec::len));
    assert_eq!(figures, Some(Some(3)));
    nothing_left(runtime.path());
}

#[test]
fn a_disk_for_which_the_host_has_no_room_fails_the_guests_write_and_does_not_stop_the_guest() {
    let line = "dir=$XDG_RUNTIME_DIR/small && mkdir $dir && mount -t tmpfs -o size=40m small $dir && \
                truncate -s 200M $dir/disk.img && exec \"$BLOCKYARD\" exec --disk $dir/disk.img -- \
                dd if=/dev/zero of=/dev/vda bs=1M count=100 oflag=direct";
    let Some(ran) = unshared(&["--mount"], line) else { return };
    assert_eq!(ran.code, 1, "{ran}");
    ran.says("error writing '/dev/vda': Input/output error");
}
