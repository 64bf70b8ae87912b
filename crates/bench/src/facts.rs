// SPDX-License-Identifier: MIT OR Apache-2.0
//! What figures depend on: the sources, the host, the guest.

use std::time::{SystemTime, UNIX_EPOCH};

use blockyard_lab::process::Command;
use blockyard_lab::{Guest, Result, workspace};

use crate::report::{GuestFacts, Host, Source};

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The state of the sources; none where they are in no git repository, or there is no git.
pub fn source() -> Result<Source> {
    let root = workspace::root()?;
    let git = |args: &[&str]| {
        let said = Command::new("git").arg("-C").arg(&root).args(args).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let modified =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|said| !said.is_empty());
    Ok(Source { commit: git(&["rev-parse", "HEAD"]), modified })
}

/// The machine that we run on; what it does not tell stays empty.
pub fn host() -> Result<Host> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let load = read("/proc/loadavg");
    Ok(Host {
        processor: value(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
        processors: std::thread::available_parallelism().map_or(1, |n| n.get()),
        memory_mib: value(&read("/proc/meminfo"), "MemTotal").map_or(0, kib) >> 10,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        load: load.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
    })
}

/// What the guest tells of itself, and what it was given; not of fio, which tells that when it has run.
pub fn guest(guest: &Guest, memory_mib: u32, disk_mib: u64) -> Result<GuestFacts> {
    let rustc =
        guest.check("zcat /proc/config.gz | sed -n 's/^CONFIG_RUSTC_VERSION_TEXT=\"\\(.*\\)\"/\\1/p'")?;
    let processors = guest.check("nproc")?;
    Ok(GuestFacts {
        accelerator: guest.accel().to_string(),
        kernel: guest.check("uname -r")?.trim().to_owned(),
        rustc: rustc.trim().to_owned(),
        qemu: guest.qemu_version()?.to_string(),
        fio: String::new(),
        processors: processors.trim().parse().unwrap_or(0),
        memory_mib,
        disk_mib,
    })
}

/// The value in a line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn kib(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2: fast\n";
        assert_eq!(value(text, "model name"), Some("A CPU @ 2: fast"));
        assert_eq!(value(text, "model"), None);
        assert_eq!(kib("24030000 kB"), 24_030_000);
    }

    #[test]
    fn this_machine_is_described() {
        let host = host().unwrap();
        assert!(host.processors > 0 && host.memory_mib > 0 && !host.kernel.is_empty(), "{host:?}");
    }
}
