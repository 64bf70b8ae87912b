// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running the real command, as a user would, and looking at what it leaves behind.
// Each test file is a crate of its own and uses its part of this.
#![allow(dead_code, reason = "shared between test crates")]

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// How the command ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails unless one of its outputs holds `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "it does not say {text:?}: {self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}

/// The command, with a runtime folder of this test process's own.
pub fn blockyard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blockyard"));
    command.env("XDG_RUNTIME_DIR", runtime()).stdin(Stdio::null());
    command
}

static RUNTIME: LazyLock<PathBuf> = LazyLock::new(|| {
    // SAFETY: the handler is a function of this program, which stays loaded until the process ends, and does not unwind.
    assert_eq!(unsafe { libc::atexit(remove_runtime) }, 0, "the runtime folder's removal is not registered");
    tempfile::Builder::new().prefix("by").tempdir().unwrap().keep()
});

/// A private runtime folder: other guests of this machine are none of a test's business. It lives as long as the process.
pub fn runtime() -> &'static Path {
    &RUNTIME
}

/// What a `TempDir` cannot do here: nobody drops a static.
extern "C" fn remove_runtime() {
    if let Some(dir) = LazyLock::get(&RUNTIME) {
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the command starts");
    Ran {
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a line of shell in namespaces of its own (`BLOCKYARD` is the command's path); nothing where the kernel does not
/// let this user make them.
pub fn unshared(namespaces: &[&str], line: &str) -> Option<Ran> {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).args(namespaces).stdin(Stdio::null());
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not make namespaces");
        return None;
    }
    let mut command = unshare();
    command.args(["sh", "-c", line]).env("BLOCKYARD", env!("CARGO_BIN_EXE_blockyard"));
    Some(run(command.env("XDG_RUNTIME_DIR", runtime())))
}

/// Writes an executable shell script.
pub fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Every process whose command line names the runtime folder: QEMUs of this test's guests.
pub fn survivors(runtime: &Path) -> Vec<PathBuf> {
    let mark = runtime.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &PathBuf| {
        std::fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&mark))
    };
    processes.filter(named).collect()
}

/// The folders of guests in the runtime folder.
pub fn guest_folders(runtime: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(runtime.join("blockyard")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}
