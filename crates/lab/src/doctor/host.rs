// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine itself: its kind, where packages come from, room on the disk.

use super::{Found, Row};
use crate::apt::Origin;
use crate::cache::Cache;
use crate::kernel::Recipe;

pub(super) fn rows(recipe: &Recipe) -> Vec<Row> {
    vec![machine(), mirror(), space(recipe), kvm()]
}

fn machine() -> Row {
    let supported = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    Row {
        need: "x86-64 Linux",
        purpose: "everything",
        optional: false,
        found: if supported { Found::Yes(release()) } else { Found::No },
        mend: "run it on an x86-64 machine with Linux".into(),
    }
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn mirror() -> Row {
    let origin = Origin::of_this_machine();
    let mend =
        origin.as_ref().err().map(|e| e.help().unwrap_or_default().to_owned()).filter(|h| !h.is_empty());
    Row {
        need: "Debian mirror",
        purpose: "the kernel's source and the guest's packages",
        optional: false,
        found: origin.map_or(Found::No, |o| Found::Yes(o.mirror)),
        mend: mend.unwrap_or_else(|| "name a Debian mirror in /etc/apt/sources.list".into()),
    }
}

/// What a first build takes altogether: the source, the build, tools, packages and images.
fn space(recipe: &Recipe) -> Row {
    let needed = (recipe.space.source + recipe.space.build + 1500) << 20;
    let cache = Cache::open();
    let found = match &cache {
        Err(_) => Found::No,
        Ok(cache) if holds_a_kernel(cache) => Found::Yes(format!("in use: {}", cache.root().display())),
        Ok(cache) => match cache.need_space(needed, "a first build") {
            Ok(()) => Found::Yes(format!("{} has the {} MiB", cache.root().display(), needed >> 20)),
            Err(_) => Found::No,
        },
    };
    Row {
        need: "room in the cache",
        purpose: "a first build",
        optional: false,
        found,
        mend: format!("set BLOCKYARD_CACHE to a folder with {} MiB free", needed >> 20),
    }
}

/// Then most of the room has been taken already, and the rest is checked where it is used.
fn holds_a_kernel(cache: &Cache) -> bool {
    crate::files::children(&cache.root().join("kernel"))
        .is_ok_and(|c| c.iter().any(|p| p.extension().is_some_and(|e| e == "manifest")))
}

/// Looks whether it may be opened; whether it works is found out by the first boot.
fn kvm() -> Row {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let open = rustix::fs::open("/dev/kvm", flags, rustix::fs::Mode::empty());
    Row {
        need: "/dev/kvm",
        purpose: "speed: without it guests run in emulation",
        optional: true,
        found: open.map_or(Found::No, |_| {
            Found::Yes("may be opened (the first boot tries whether it works)".into())
        }),
        mend:
            "enable virtualization in the firmware, and add yourself to the group: sudo usermod -aG kvm $USER"
                .into(),
    }
}
