// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file systems that the kernel makes.

use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::error::{Context, Error};

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// One mount.
struct Mount {
    kind: &'static str,
    at: &'static str,
    flags: MountFlags,
    data: &'static str,
    /// Whether a kernel may do without.
    optional: bool,
}

const fn needed(kind: &'static str, at: &'static str, flags: MountFlags, data: &'static str) -> Mount {
    Mount { kind, at, flags, data, optional: false }
}

const fn wanted(kind: &'static str, at: &'static str) -> Mount {
    Mount { kind, at, flags: SAFE, data: "mode=0755", optional: true }
}

/// Before the root disk can be found.
pub fn early() -> Result<(), Error> {
    mount_all(&[
        needed("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
        needed("proc", "/proc", SAFE, ""),
        needed("sysfs", "/sys", SAFE, ""),
    ])
}

/// After the root has been entered. /tmp may hold programs and device nodes of tests.
pub fn late() -> Result<(), Error> {
    mount_all(&[
        needed("tmpfs", "/run", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=0755"),
        needed("tmpfs", "/tmp", MountFlags::NOSUID, "mode=1777"),
        needed("devpts", "/dev/pts", MountFlags::NOSUID, "mode=0620,gid=5,ptmxmode=0666"),
        needed("tmpfs", "/dev/shm", SAFE, "mode=1777"),
        Mount { data: "", ..wanted("cgroup2", "/sys/fs/cgroup") },
        wanted("debugfs", "/sys/kernel/debug"),
        wanted("tracefs", "/sys/kernel/tracing"),
        Mount { data: "", ..wanted("configfs", "/sys/kernel/config") },
    ])?;
    links()
}

/// What programs expect in /dev besides the kernel's nodes.
fn links() -> Result<(), Error> {
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ];
    for (target, at) in links {
        match std::os::unix::fs::symlink(target, at) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(e).context(|| format!("cannot link {at}"))?
            }
            _ => {}
        }
    }
    Ok(())
}

fn mount_all(mounts: &[Mount]) -> Result<(), Error> {
    mounts.iter().try_for_each(mount_one)
}

fn mount_one(m: &Mount) -> Result<(), Error> {
    let what = || format!("cannot mount {} at {}", m.kind, m.at);
    // In sysfs the kernel makes the folders, if it has the file system.
    if !m.at.starts_with("/sys/") && !Path::new(m.at).is_dir() {
        std::fs::create_dir_all(m.at).context(what)?;
    }
    let data = std::ffi::CString::new(m.data).unwrap_or_default();
    match mount(m.kind, m.at, m.kind, m.flags, Some(data.as_c_str())) {
        Err(Errno::NODEV | Errno::NOENT) if m.optional => Ok(()),
        // The kernel can mount devtmpfs by itself.
        Err(Errno::BUSY) => Ok(()),
        result => result.context(what),
    }
}
