// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root file system: a disk that any number of guests share read-only, under a tmpfs of this guest.
//!
//! Between the two lies the initramfs's own overlay folder, with what changes from run to run (modules,
//! programs): it needs no copying, it is simply one more lower layer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blockyard_proto::{OVERLAY_DIR, ROOT_SERIAL};
use rustix::mount::{MountFlags, mount, mount_move};

use crate::error::{Context, Error};
use crate::serve::disk;

const LOWER: &str = "/lower";
const UPPER: &str = "/upper";
const ROOT: &str = "/root.new";

/// A root disk that is there at all is there when its driver, built into the kernel, has probed; a slow
/// emulator gets this much longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lays the layers over each other and moves in.
pub fn enter() -> Result<(), Error> {
    for dir in [LOWER, UPPER, ROOT, OVERLAY_DIR] {
        std::fs::create_dir_all(dir).context(|| format!("cannot make {dir}"))?;
    }
    let disk = find()?;
    mount(&disk, LOWER, "ext4", MountFlags::RDONLY, Some(c"norecovery"))
        .context(|| format!("cannot mount the root disk {}", disk.display()))?;
    mount("tmpfs", UPPER, "tmpfs", MountFlags::empty(), Some(c"mode=0755,size=75%"))
        .context(|| "cannot mount a tmpfs over the root disk".into())?;
    overlay()?;
    move_in()
}

fn find() -> Result<PathBuf, Error> {
    let missing = || format!("there is no disk with the serial {ROOT_SERIAL}");
    disk::await_disk(ROOT_SERIAL, true, Instant::now() + PATIENCE)?;
    disk::find(ROOT_SERIAL)?.ok_or_else(|| Error::other("no root", missing()))
}

fn overlay() -> Result<(), Error> {
    for dir in ["data", "work"] {
        let dir = Path::new(UPPER).join(dir);
        std::fs::create_dir(&dir).context(|| format!("cannot make {}", dir.display()))?;
    }
    let layers = format!("lowerdir={OVERLAY_DIR}:{LOWER},upperdir={UPPER}/data,workdir={UPPER}/work");
    let data = std::ffi::CString::new(layers).unwrap_or_default();
    mount("root", ROOT, "overlay", MountFlags::empty(), Some(data.as_c_str()))
        .context(|| "cannot lay the tmpfs over the root disk (overlayfs)".into())
}

/// What switch_root does: the kernel's file systems move along, then the new root is moved over the old.
fn move_in() -> Result<(), Error> {
    for dir in ["/dev", "/proc", "/sys"] {
        let to = format!("{ROOT}{dir}");
        std::fs::create_dir_all(&to).context(|| format!("cannot make {to}"))?;
        mount_move(dir, &to).context(|| format!("cannot move {dir} to {to}"))?;
    }
    std::env::set_current_dir(ROOT).context(|| format!("cannot enter {ROOT}"))?;
    mount_move(".", "/").context(|| "cannot move the new root to /".into())?;
    rustix::process::chroot(".").context(|| "cannot enter the new root".into())?;
    std::env::set_current_dir("/").context(|| "cannot enter /".into())
}
