// SPDX-License-Identifier: GPL-2.0

//! Lines of `modinfo` that the `kernel` crate's `module!` cannot write.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

/// The module's version, as `MODULE_VERSION` in C: `kit::module_version!("1.0");`
#[macro_export]
macro_rules! module_version {
    ($version:literal) => {
        #[cfg(MODULE)]
        const _: () = {
            const LINE: &str = concat!("version=", $version, "\0");
            // The section is what the loader and `modinfo` read; nothing refers to the symbol.
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static VERSION: [u8; LINE.len()] = $crate::modinfo::bytes(LINE);
        };
    };
}

/// The bytes of a string that has exactly `N`, at compile time.
#[doc(hidden)]
pub const fn bytes<const N: usize>(line: &str) -> [u8; N] {
    let from = line.as_bytes();
    let mut to = [0; N];
    let mut at = 0;
    while at < N {
        to[at] = from[at];
        at += 1;
    }
    to
}
