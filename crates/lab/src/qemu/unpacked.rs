// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's newest QEMU on a system that has an older one: unpacked, and started with the libraries that it came with.
//!
//! Its libraries want a newer libc than the system's, and a libc goes with its own loader: so the loader is what is
//! started, and told where the libraries are. QEMU then finds neither its firmware nor its modules by itself.

use std::path::PathBuf;

use crate::apt::{self, LOADER, Request};
use crate::cache::{Cache, Entry, Key, Lease};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::process::Command;
use crate::progress::Job;

/// What it is called where people wait for it.
const WHAT: &str = "a newer QEMU";
/// Where it comes from, and what it stands on.
const SUITES: [&str; 2] = ["trixie", BACKPORTS];
/// The suite whose QEMU and firmware are meant.
const BACKPORTS: &str = "trixie-backports";
const PACKAGE: &str = "qemu-system-x86";
/// Bytes that must be free: packages and what they unpack to.
const SPACE: u64 = 512 << 20;

const PROGRAM: &str = "usr/bin/qemu-system-x86_64";
const LIBRARIES: [&str; 3] =
    ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio", "lib/x86_64-linux-gnu"];
/// Where QEMU looks for firmware: its own, and what other packages bring.
const DATA: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
/// What a guest without a screen has no use for, most of the tree's bytes.
const UNUSED: [&str; 4] = ["usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/icons"];

/// An unpacked QEMU, kept in the cache for as long as this value lives.
#[derive(Debug)]
pub(super) struct Unpacked {
    tree: Lease,
}

impl Unpacked {
    /// From the cache, or else fetched and unpacked now.
    pub(super) fn ensure() -> Result<Self> {
        let cache = Cache::open()?;
        let tree = entry(&cache)?.get_or_make(WHAT, |dir| {
            cache.need_space(SPACE, WHAT)?;
            let scratch = dir.join("packages");
            files::create_dir(&scratch)?;
            let request =
                Request::with_dependencies(&SUITES.map(str::to_owned), [PACKAGE]).preferring(BACKPORTS);
            let debs = apt::fetch_into(&cache, &request, &scratch, WHAT)?;
            let mut job = Job::begin("unpacking a newer QEMU");
            job.set_total(debs.len() as u64);
            for deb in debs {
                crate::interrupt::check()?;
                job.detail(&deb.name);
                deb.unpack(dir)?;
                job.step();
            }
            job.done();
            files::remove(&scratch)?;
            UNUSED.iter().try_for_each(|path| files::remove(&dir.join(path)))?;
            match [PROGRAM, LOADER].iter().find(|path| !dir.join(path).is_file()) {
                Some(path) => Err(Error::new(Kind::Lab, format!("Debian's packages of QEMU hold no {path}"))),
                None => Ok(()),
            }
        })?;
        Ok(Self { tree })
    }

    /// From the cache, if it is there.
    pub(super) fn at_hand() -> Result<Option<Self>> {
        Ok(entry(&Cache::open()?)?.get(WHAT)?.map(|tree| Self { tree }))
    }

    pub(super) fn program(&self) -> PathBuf {
        self.tree.join(PROGRAM)
    }

    pub(super) fn command(&self) -> Command<'static> {
        let libraries = LIBRARIES.map(|path| self.tree.join(path).display().to_string()).join(":");
        let command =
            Command::new(self.tree.join(LOADER)).arg("--library-path").arg(libraries).arg(self.program());
        DATA.iter().fold(command, |command, path| command.arg("-L").arg(self.tree.join(path)))
    }
}

fn entry(cache: &Cache) -> Result<Entry> {
    let key = Key::new("qemu")
        .with("suites", SUITES.join(" "))
        .with("package", PACKAGE)
        .with("unused", UNUSED.join(" "));
    cache.entry("qemu", &key)
}
