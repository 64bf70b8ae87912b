// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's root file system: the tools that users of block devices use, as Debian ships them.
//!
//! A test that mkfs, fio or udev takes part in must meet the real ones, not look-alikes; so the image holds
//! unpacked Debian packages, and BusyBox only for names that they lack. It is made without root and without
//! running a maintainer script (what those would have set up and the guest needs, [`tree`] sets up), and is
//! used read-only by any number of guests at a time: each lays a tmpfs over it. What changes from run to run
//! (agent, modules) is not in it.

mod image;
mod tree;

use std::path::{Path, PathBuf};

use crate::apt::{Packages, Request};
use crate::cache::{Cache, Key, Lease};
use crate::error::Result;
use crate::files;

/// Where the packages come from: one suite whatever the host runs, so that a test means the same everywhere;
/// the newest stable one, because an old util-linux or udev does not know today's kernel.
const SUITE: &str = "trixie";

/// What the guest has, besides what these depend on. busybox-static also runs on the host, to list its applets.
const PACKAGES: [&str; 25] = [
    "base-files",
    "base-passwd",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "dmsetup",
    "e2fsprogs",
    "fdisk",
    "findutils",
    "fio",
    "gawk",
    "grep",
    "gzip",
    "iproute2",
    "kmod",
    "libc-bin",
    "mount",
    "procps",
    "sed",
    "strace",
    "udev",
    "util-linux",
    "xfsprogs",
];

/// Free space that making the image takes, in bytes: packages, tree and image together.
const SPACE: u64 = 1 << 30;

/// A root file system that is in the cache, and stays there for as long as this value lives.
#[derive(Debug)]
pub struct Rootfs {
    image: PathBuf,
    _lease: Lease,
}

impl Rootfs {
    /// The image: ext4, to be attached read-only.
    pub fn image(&self) -> &Path {
        &self.image
    }
}

/// The root file system, made first if the cache lacks it.
pub fn ensure() -> Result<Rootfs> {
    let cache = Cache::open()?;
    let request = Request::with_dependencies(&[SUITE.to_owned()], PACKAGES);
    let packages = Packages::fetch(&cache, &request, "the guest's packages")?;
    let key = Key::new(&format!("debian-{SUITE}"))
        .with("packages", packages.identity())
        // The recipe is part of what determines the image.
        .with("tree", include_str!("rootfs/tree.rs"))
        .with("image", include_str!("rootfs/image.rs"));
    let entry = cache.entry("rootfs", &key)?;
    let lease = entry.get_or_make("the guest's root file system", |dir| make(&cache, &packages, dir))?;
    Ok(Rootfs { image: lease.join(image::NAME), _lease: lease })
}

fn make(cache: &Cache, packages: &Packages, dir: &Path) -> Result<()> {
    cache.need_space(SPACE, "the guest's root file system")?;
    let root = dir.join("tree");
    tree::prepare(&root)?;
    packages.unpack(&root, "the guest's packages")?;
    tree::finish(&root)?;
    image::make(&root, &dir.join(image::NAME))?;
    files::remove(&root)
}
