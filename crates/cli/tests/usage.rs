// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bad use of the command, as far as no guest is needed: the exit code, the words, and nothing left behind.

mod common;

use common::{blockyard, run, unshared};

#[test]
fn an_unknown_driver_is_answered_with_the_known_ones() {
    // A folder that is no kernel: the name is looked at first.
    let ran = run(blockyard().args(["build", "--kdir", "/", "no-such-driver"]));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("no-such-driver").says("simblk");
}

#[test]
fn examples_are_listed_and_an_unknown_one_is_answered_with_them() {
    let ran = run(blockyard().arg("try"));
    assert_eq!(ran.code, 0, "{ran}");
    ran.says("hello").says("simblk").says("Disks in memory");
    let ran = run(blockyard().args(["try", "no-such-example"]));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("no-such-example").says("hello, ");
}

#[test]
fn an_unknown_series_or_built_in_driver_is_answered_with_the_known_ones() {
    let ran = run(blockyard().args(["kernel", "path", "--series", "2.4"]));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("`2.4`").says("7.2 and 7.3");
    let ran = run(blockyard().args(["kernel", "build", "--builtin", "no-such-driver"]));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("no-such-driver").says("hello");
}

#[test]
fn exec_without_a_command_shows_its_use() {
    let ran = run(blockyard().arg("exec"));
    assert_eq!(ran.code, 2, "{ran}");
    ran.says("<CMD>");
}

#[test]
fn machines_that_make_no_sense_are_refused_before_anything_is_built() {
    let wrong = [
        (vec!["--disk", "0"], "0"),
        (vec!["--disk", "/no/such/image"], "/no/such/image"),
        (vec!["--mem", "lots"], "lots"),
        (vec!["--mem", "1M"], "1M"),
        (vec!["--cpus", "0"], "0"),
        (vec!["--accel", "fast"], "fast"),
        (vec!["--net", "99999"], "99999"),
        (vec!["--module", "/no/such.ko"], "/no/such.ko"),
        (vec!["--timeout", "soon"], "soon"),
    ];
    for (flags, value) in wrong {
        let ran = run(blockyard().arg("exec").args(&flags).args(["--", "true"]));
        assert_eq!(ran.code, 2, "{flags:?}: {ran}");
        ran.says(value);
    }
}

#[test]
fn guests_that_do_not_run_are_named() {
    for args in
        [&["stop", "nobody"][..], &["exec", "--guest", "nobody", "--", "true"], &["cp", "nobody:/x", "."]]
    {
        let ran = run(blockyard().args(args));
        assert_eq!(ran.code, 1, "{args:?}: {ran}");
        ran.says("nobody").says("no guest runs");
    }
}

#[test]
fn ps_without_guests_is_an_empty_list() {
    let ran = run(blockyard().args(["ps", "--json"]));
    assert_eq!((ran.code, ran.stdout.trim()), (0, "[]"), "{ran}");
}

#[test]
fn cp_between_two_local_files_is_wrong_use() {
    let ran = run(blockyard().args(["cp", "a", "b"]));
    assert_eq!(ran.code, 2, "{ran}");
}

#[test]
fn a_kdir_that_is_no_kernel_with_rust_is_told_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(blockyard().arg("build").arg("--kdir").arg(folder.path()));
    assert_ne!(ran.code, 0, "{ran}");
    ran.says(&folder.path().display().to_string());
}

#[test]
fn a_fragment_that_is_not_there_is_named() {
    let ran = run(blockyard().args(["kernel", "build", "--config", "/no/such.config"]));
    assert_ne!(ran.code, 0, "{ran}");
    ran.says("/no/such.config");
}

#[test]
fn doctor_names_what_is_missing_and_the_command_that_mends_it() {
    let empty = tempfile::tempdir().unwrap();
    let ran = run(blockyard().arg("doctor").env("PATH", empty.path()));
    assert_eq!(ran.code, 1, "{ran}");
    ran.says("mend:").says("apt-get install");
}

#[test]
fn without_a_network_what_could_not_be_fetched_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let line = format!("BLOCKYARD_CACHE={} exec \"$BLOCKYARD\" kernel build", cache.path().display());
    let Some(ran) = unshared(&["--net"], &line) else { return };
    assert_eq!(ran.code, 125, "{ran}");
    ran.says("fetch");
    let trusted: Vec<_> = manifests(cache.path());
    assert!(trusted.is_empty(), "half-made entries count as made: {trusted:?}");
}

#[test]
fn a_full_cache_is_told_in_mebibytes() {
    let cache = tempfile::tempdir().unwrap();
    let at = cache.path().display();
    let line = format!(
        "mount -t tmpfs -o size=4m none {at} && BLOCKYARD_CACHE={at} exec \"$BLOCKYARD\" kernel build"
    );
    let Some(ran) = unshared(&["--mount"], &line) else { return };
    assert_eq!(ran.code, 125, "{ran}");
    ran.says("MiB free").says("BLOCKYARD_CACHE");
}

fn manifests(cache: &std::path::Path) -> Vec<std::path::PathBuf> {
    let kinds =
        std::fs::read_dir(cache).unwrap().flat_map(|kind| std::fs::read_dir(kind.unwrap().path()).unwrap());
    kinds
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "manifest"))
        .collect()
}

#[test]
fn a_rustc_without_its_source_is_answered_with_what_to_do() {
    let tools = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    common::script(
        &tools.path().join("rustc"),
        &format!(
            "case \"$*\" in *sysroot*) echo {0};; *) echo 'rustc 1.99.0 (0123456789 2026-01-01)';; esac",
            tools.path().display()
        ),
    );
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let line = format!(
        "export PATH={path} BLOCKYARD_CACHE={}; exec \"$BLOCKYARD\" kernel build",
        cache.path().display()
    );
    let Some(ran) = unshared(&["--net"], &line) else { return };
    assert_eq!(ran.code, 125, "{ran}");
    ran.says("rust-src");
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_no_panic() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = run(blockyard().args(["ps", "--json"]).stdout(full));
    assert_eq!(ran.code, 125, "{ran}");
    ran.says("standard output cannot be written to: No space left on device");
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let ran = run(blockyard().args(["ps", "--json"]).stdout(write));
    assert_eq!((ran.code, ran.stderr.as_str()), (141, ""), "{ran}");
}

#[test]
fn what_only_a_new_guest_can_be_given_is_refused_for_one_that_runs() {
    for option in ["--profile=debug", "--series=7.2", "--mem=2G", "--cpus=1", "--accel=tcg", "--qemu=system"]
    {
        let ran = run(blockyard().args(["exec", "--guest", "mine", option, "--", "true"]));
        assert_eq!(ran.code, 2, "{option}: {ran}");
        ran.says("cannot be used with");
    }
}
