// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sources of the standard library, of exactly the version of rustc.

use std::path::{Path, PathBuf};

use super::rustc::Rustc;
use crate::apt::{self, Request};
use crate::cache::{Cache, Key, Lease};
use crate::error::{Error, Kind, Result};
use crate::kernel::Recipe;
use crate::version::Version;

/// Where rustup, and Debian's own package, puts them.
pub(crate) fn in_sysroot(sysroot: &Path) -> Option<PathBuf> {
    let library = sysroot.join("lib/rustlib/src/rust/library");
    library.join("core/src/lib.rs").is_file().then_some(library)
}

/// The folder `library` of the sources: installed, or else from Debian's package of that version.
pub(super) fn ensure(cache: &Cache, rustc: &Rustc, leases: &mut Vec<Lease>) -> Result<PathBuf> {
    if let Some(library) = in_sysroot(rustc.sysroot()) {
        return Ok(library);
    }
    let suites = Recipe::load()?.source.suites;
    let version = rustc.version();
    let entry =
        cache.entry(super::RUST_SRC, &Key::new(&version.to_string()).with("suites", suites.join(" ")))?;
    let what = format!("rust-src {version}");
    let lease = entry
        .get_or_make(&what, |dir| unpack(cache, &suites, version, dir, &what))
        .map_err(|e| missing(rustc, e))?;
    let library = lease.join("library");
    leases.push(lease);
    Ok(library)
}

fn unpack(cache: &Cache, suites: &[String], version: Version, dir: &Path, what: &str) -> Result<()> {
    let offered = apt::versions(cache, suites, "rust-src")?;
    let wanted = select(&offered, version).ok_or_else(|| {
        let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        Error::new(
            Kind::Need,
            format!("Debian has no package rust-src of version {version} (it has: {offered})"),
        )
    })?;
    let scratch = dir.join("unpacked");
    crate::files::create_dir(&scratch)?;
    let request = Request::alone(suites, [format!("rust-src={wanted}")]);
    for deb in apt::fetch_into(cache, &request, &scratch, what)? {
        deb.unpack(&scratch)?;
    }
    // The package's folder carries the compiler's version, sometimes with a suffix of its own.
    let library = crate::files::children(&scratch.join("usr/src"))?
        .into_iter()
        .map(|p| p.join("library"))
        .find(|p| p.is_dir());
    let library =
        library.ok_or_else(|| Error::new(Kind::Lab, format!("{what} holds no folder `library`")))?;
    crate::files::rename(&library, &dir.join("library"))?;
    crate::files::remove(&scratch)
}

/// The first of the versions whose upstream part is this one.
fn select(offered: &[String], version: Version) -> Option<&String> {
    let upstream = version.to_string();
    offered.iter().find(|o| o.split(['+', '-', '~']).next() == Some(upstream.as_str()))
}

fn missing(rustc: &Rustc, cause: Error) -> Error {
    if !matches!(cause.kind(), Kind::Need | Kind::Network | Kind::NotFound) {
        return cause;
    }
    let message =
        format!("the sources of {} (rust-src) are not installed and cannot be fetched", rustc.version_text());
    Error::new(cause.kind(), message)
        .with_help(
            "with rustup: rustup component add rust-src; with Debian's rustc: apt-get install rust-src",
        )
        .with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_version_is_selected() {
        let offered =
            ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1", "1.85.1+dfsg1-1+deb13u1"].map(str::to_owned);
        let select = |v: &str| select(&offered, v.parse().unwrap()).map(String::as_str);
        assert_eq!(select("1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(select("1.85.0"), None, "a patch release is another compiler");
        assert_eq!(select("1.9.5"), None);
    }
}
