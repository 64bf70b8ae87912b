// SPDX-License-Identifier: GPL-2.0

//! Lines of `modinfo` that the `kernel` crate's `module!` cannot write.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use kernel::ModuleMetadata;

/// The module's version, as `MODULE_VERSION` in C: `kit::module_version!("1.0");`
#[macro_export]
macro_rules! module_version {
    ($version:literal) => {
        $crate::modinfo_line!("version=", $version);
    };
}

/// One line, `FIELD=VALUE`, in any number of parts.
#[doc(hidden)]
#[macro_export]
// The driver is meant: the names of its `module!` are at the root of its crate.
#[allow(clippy::crate_in_macro_def)]
macro_rules! modinfo_line {
    ($($part:expr),* $(,)?) => {
        const _: () = {
            const PREFIX: [&str; 2] = $crate::modinfo::prefix::<crate::LocalModule>();
            const PARTS: &[&str] = &[PREFIX[0], PREFIX[1], $($part,)* "\0"];
            // The section is what the loader and `modinfo` read; nothing refers to the symbol.
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static LINE: [u8; $crate::modinfo::length(PARTS)] = $crate::modinfo::concat(PARTS);
        };
    };
}

/// What stands before a name that the whole kernel shares if the driver is part of it: `NAME` and a
/// dot. A module's own names have nothing before them.
#[doc(hidden)]
pub const fn prefix<M: ModuleMetadata>() -> [&'static str; 2] {
    if cfg!(MODULE) {
        return ["", ""];
    }
    match M::NAME.to_str() {
        Ok(name) => [name, "."],
        Err(_) => panic!("the module's name is no UTF-8"),
    }
}

/// The length of all parts together.
#[doc(hidden)]
pub const fn length(parts: &[&str]) -> usize {
    let (mut sum, mut part) = (0, 0);
    while part < parts.len() {
        sum += parts[part].len();
        part += 1;
    }
    sum
}

/// The bytes of all parts, one after the other; `N` is their [`length`]. For constants.
#[doc(hidden)]
pub const fn concat<const N: usize>(parts: &[&str]) -> [u8; N] {
    let (mut bytes, mut end, mut part) = ([0; N], 0, 0);
    while part < parts.len() {
        let (from, mut at) = (parts[part].as_bytes(), 0);
        while at < from.len() {
            bytes[end] = from[at];
            (end, at) = (end + 1, at + 1);
        }
        part += 1;
    }
    bytes
}
