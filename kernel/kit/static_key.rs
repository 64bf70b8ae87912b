// SPDX-License-Identifier: GPL-2.0

//! A switch whose "off" costs nothing: the branch is patched into the code when it is turned.
//!
//! The `kernel` crate can test a static key of C's, but not make one. A key is data with a known
//! layout, zeroed when off, so a Rust `static` does as well; the loader finds its uses through the
//! module's jump table, as with C's.
//!
//! ```ignore
//! static LOG: StaticKey = StaticKey::new();
//!
//! if kit::static_key_enabled!(LOG) { ... }   // a no-op or a jump
//! LOG.set(true);                             // patches each use; may sleep
//! ```
//!
//! C header: [`include/linux/jump_label.h`](srctree/include/linux/jump_label.h)

use kernel::{bindings, types::Opaque};

/// A static key that is off at first.
///
/// # Invariants
///
/// `key` is a `struct static_key_false` in a `static`, initialised as `DEFINE_STATIC_KEY_FALSE`
/// does: all zero.
#[repr(C)]
pub struct StaticKey {
    #[doc(hidden)]
    pub key: Opaque<bindings::static_key_false>,
}

// SAFETY: The key is only used through the kernel's own functions, which lock, and through patched
// code.
unsafe impl Sync for StaticKey {}

impl StaticKey {
    /// A key that is off. For a `static` only: the jump table refers to it by address.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: `enabled` is 0, and the type bits of `entries` are 0, which is
        // `JUMP_TYPE_FALSE`.
        Self {
            key: Opaque::zeroed(),
        }
    }

    /// Turns the switch. Takes the kernel's jump label lock, and may sleep.
    #[doc(alias = "static_branch_enable")]
    #[doc(alias = "static_branch_disable")]
    pub fn set(&'static self, on: bool) {
        let key = self.key.get().cast::<bindings::static_key>();
        // SAFETY: By the type invariant this is a static key, and `&'static` says that it stays.
        // (`static_key_false` begins with its `static_key`.)
        unsafe {
            if on {
                bindings::static_key_enable(key)
            } else {
                bindings::static_key_disable(key)
            }
        }
    }

    /// Whether the switch is on, for those who do not hurry.
    #[doc(alias = "static_key_enabled")]
    pub fn is_on(&'static self) -> bool {
        // SAFETY: As in `set()`.
        unsafe { bindings::static_key_count(self.key.get().cast()) > 0 }
    }
}

/// Whether a [`StaticKey`] is on, at the cost of one instruction: `static_key_enabled!(LOG)`.
#[macro_export]
#[cfg(CONFIG_JUMP_LABEL)]
macro_rules! static_key_enabled {
    ($key:path) => {{
        // A type error here means that the path is not one of a `StaticKey`.
        let _: &'static $crate::static_key::StaticKey = &$key;
        // By `StaticKey`'s invariant this is a key as C defines one. (The `kernel` crate's
        // `static_branch_unlikely!` cannot be used: it wants the field without the cell that makes
        // the static writable.) SAFETY: The assembly only emits a no-op and an entry of the jump
        // table, for a key that is a static.
        unsafe {
            ::kernel::jump_label::arch_static_branch! {
                $key, $crate::static_key::StaticKey, key, false
            }
        }
    }};
}

/// Whether a [`StaticKey`] is on. This kernel patches no code: it costs a load.
#[macro_export]
#[cfg(not(CONFIG_JUMP_LABEL))]
macro_rules! static_key_enabled {
    ($key:path) => {
        $crate::static_key::StaticKey::is_on(&$key)
    };
}
