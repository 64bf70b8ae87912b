// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ctrl-C as a value: the command arms it once, and every wait of the lab looks at it.
//!
//! A process that dies by the default action of SIGINT leaves its QEMU, its `make` and its temporary
//! files behind. So the command catches SIGINT, SIGTERM and SIGHUP; waits return
//! [`Kind::Interrupted`]; destructors then do what they always do. A second signal while the first is
//! being handled ends the process at once. A program that uses the lab as a library and arms nothing keeps
//! its own signal handling.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Context, Error, Kind, Result};

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(0)));

/// Catches SIGINT, SIGTERM and SIGHUP from now on. The second signal of a kind ends the process.
pub fn arm() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Order matters: the hard exit looks at the flag before this same signal raises it.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, FLAG.clone())
            .and_then(|_| signal_hook::flag::register(signal, FLAG.clone()))
            .and_then(|_| signal_hook::flag::register_usize(signal, SIGNAL.clone(), signal as usize))
            .context(Kind::Lab, || format!("cannot catch signal {signal}"))?;
    }
    Ok(())
}

/// Whether a signal has arrived since [`arm`].
pub fn pending() -> bool {
    FLAG.load(Ordering::Relaxed)
}

/// The signal that arrived, if one did: the command ends with 128 plus this number.
pub fn signal() -> Option<i32> {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        number => i32::try_from(number).ok(),
    }
}

/// An error of [`Kind::Interrupted`] once a signal has arrived; for loops that wait.
pub fn check() -> Result<()> {
    if pending() { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
}
