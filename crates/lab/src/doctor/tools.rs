// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tools, each asked for its version.

use std::path::Path;

use super::{Found, Row};
use crate::kernel::Recipe;
use crate::process::find_program;
use crate::qemu::Qemu;
use crate::toolchain::{self, Rustc};
use crate::version::Version;

/// A program that is needed: its name, the Debian package that has it, and what for.
type Program = (&'static str, &'static str, &'static str);

const PROGRAMS: [Program; 12] = [
    ("make", "make", "the kernel"),
    ("ld", "binutils", "the kernel"),
    ("flex", "flex", "the kernel"),
    ("bison", "bison", "the kernel"),
    ("bc", "bc", "the kernel"),
    ("xz", "xz-utils", "the kernel"),
    ("tar", "tar", "the kernel's source"),
    ("depmod", "kmod", "the kernel's modules"),
    ("apt-get", "apt", "packages"),
    ("dpkg-deb", "dpkg", "packages"),
    ("mke2fs", "e2fsprogs", "the guest's root file system"),
    ("python3", "python3-minimal", "rust-analyzer's project file"),
];
/// Those of them that the yard works without.
const OPTIONAL: [&str; 1] = ["python3"];

pub(super) fn rows(recipe: &Recipe) -> Vec<Row> {
    let tools = &recipe.tools;
    let mut rows = vec![
        versioned("rustc", "everything", tools.rustc, "install Rust with rustup (its site is rustup.rs)"),
        versioned("cargo", "everything", tools.rustc, "install Rust with rustup (its site is rustup.rs)"),
        rust_src(),
        bindgen(recipe),
        libclang(tools.libclang),
        versioned("gcc", "the kernel", tools.gcc, "apt-get install gcc"),
    ];
    rows.extend(PROGRAMS.iter().map(program));
    rows.extend([
        header("libelf headers", "the kernel's objtool", &["gelf.h"], false, "apt-get install libelf-dev"),
        header("C headers", "the kernel's own tools", &["stdio.h"], false, "apt-get install libc6-dev"),
        versioned("qemu-system-x86_64", "guests", QEMU, "apt-get install qemu-system-x86"),
        newer_qemu(),
        optional(versioned("rustfmt", "checks of the source", ANY, "rustup component add rustfmt")),
        optional(versioned("cargo-clippy", "checks of the source", ANY, "rustup component add clippy")),
        header(
            "ncurses headers",
            "kernel menuconfig",
            &["ncurses.h", "ncursesw/ncurses.h"],
            true,
            "apt-get install libncurses-dev",
        ),
        llvm(),
    ]);
    rows
}

const ANY: Version = Version { major: 0, minor: 0, patch: 0 };
/// The oldest QEMU that has what guests are given.
const QEMU: Version = Version { major: 7, minor: 2, patch: 0 };

fn optional(row: Row) -> Row {
    Row { optional: true, ..row }
}

/// A program that must have at least this version.
fn versioned(name: &'static str, purpose: &'static str, needed: Version, mend: &str) -> Row {
    let line = find_program(name).and_then(|p| toolchain::version_line(&p));
    let version = line.as_deref().and_then(Version::find);
    Row { need: name, purpose, optional: false, found: judge(version, needed), mend: mend.to_owned() }
}

fn judge(version: Option<Version>, needed: Version) -> Found {
    match version {
        None => Found::No,
        Some(version) if version < needed => Found::TooOld(version, needed),
        Some(version) => Found::Yes(version.to_string()),
    }
}

/// A program of which any version will do.
fn program(&(need, package, purpose): &Program) -> Row {
    let version = |path: &Path| toolchain::version_line(path).as_deref().and_then(Version::find);
    let found = match find_program(need) {
        Some(path) => {
            Found::Yes(version(&path).map_or_else(|| path.display().to_string(), |v| v.to_string()))
        }
        None => Found::No,
    };
    let optional = OPTIONAL.contains(&need);
    Row { need, purpose, optional, found, mend: format!("apt-get install {package}") }
}

/// One of these headers must be where the compiler looks.
fn header(need: &'static str, purpose: &'static str, names: &[&str], optional: bool, mend: &str) -> Row {
    let dirs = ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/local/include"];
    let paths = dirs.iter().flat_map(|d| names.iter().map(move |n| Path::new(d).join(n)));
    let found =
        paths.into_iter().find(|p| p.is_file()).map_or(Found::No, |p| Found::Yes(p.display().to_string()));
    Row { need, purpose, optional, found, mend: mend.to_owned() }
}

fn rust_src() -> Row {
    let found = match Rustc::find() {
        Err(_) => Found::No,
        Ok(rustc) => match toolchain::rust_src_in_sysroot(rustc.sysroot()) {
            Some(path) => Found::Yes(path.display().to_string()),
            None => Found::Later(format!(
                "the first build fetches Debian's package of version {}",
                rustc.version()
            )),
        },
    };
    Row {
        need: "rust-src",
        purpose: "the kernel",
        optional: false,
        found,
        mend: "rustup component add rust-src".into(),
    }
}

fn bindgen(recipe: &Recipe) -> Row {
    let needed = recipe.tools.bindgen;
    let found = match toolchain::installed_bindgen() {
        Some((_, version)) if version >= needed => Found::Yes(version.to_string()),
        _ => Found::Later("the first build fetches Debian's newer package, 5 MB".into()),
    };
    Row {
        need: "bindgen",
        purpose: "the kernel",
        optional: false,
        found,
        mend: toolchain::bindgen_help(needed),
    }
}

fn libclang(needed: Version) -> Row {
    let found = match toolchain::find_libclang() {
        Some((dir, version)) if version.major >= needed.major => {
            Found::Yes(format!("{} in {}", version.major, dir.display()))
        }
        Some((_, version)) => Found::TooOld(version, needed),
        None => Found::No,
    };
    Row {
        need: "libclang",
        purpose: "bindgen",
        optional: false,
        found,
        mend: "apt-get install libclang-19-dev".into(),
    }
}

/// A machine whose own is older does not lack it: it is fetched.
fn newer_qemu() -> Row {
    let own = find_program("qemu-system-x86_64").and_then(|p| toolchain::version_line(&p));
    let own = own.as_deref().and_then(Version::find).filter(|version| Qemu::has_generic_device(*version));
    let found = match own {
        Some(version) => Found::Yes(version.to_string()),
        None => Found::Later("the first machine with such a device fetches Debian's newest, 38 MB".into()),
    };
    Row {
        need: "QEMU 10.2",
        purpose: "virtio devices of any kind, as hello and console",
        optional: true,
        found,
        mend: "apt-get install -t trixie-backports qemu-system-x86".into(),
    }
}

fn llvm() -> Row {
    let found = toolchain::find_llvm().map_or(Found::No, |l| Found::Yes(l.version.to_string()));
    let mend = "apt-get install clang-19 lld-19 llvm-19".into();
    Row { need: "clang, lld, llvm", purpose: "the debug profile of the kernel", optional: true, found, mend }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_judged_by_the_oldest_that_will_do() {
        let v = |s: &str| s.parse::<Version>().unwrap();
        assert_eq!(judge(Some(v("12.2")), v("8.1")), Found::Yes("12.2.0".into()));
        assert_eq!(judge(Some(v("7.5")), v("8.1")), Found::TooOld(v("7.5"), v("8.1")));
        assert_eq!(judge(None, v("8.1")), Found::No);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(program(&("no-such-program", "none", "nothing")).found, Found::No);
        assert_eq!(header("none", "nothing", &["no-such-header.h"], false, "none").found, Found::No);
        assert_eq!(versioned("no-such-program", "nothing", ANY, "none").found, Found::No);
    }
}
