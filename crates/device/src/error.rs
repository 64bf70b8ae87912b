// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can fail outside of the guest's reach: the description, the socket, the disk behind it, the connection.

use std::io;
use std::path::PathBuf;

use crate::spec::SpecError;

/// What any fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a device cannot be made or served. Each is a sentence for a person, with the value that was at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The description makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// What the device stands on cannot be had: a file, memory, `io_uring`.
    #[error("{what}: {source}")]
    Backing {
        /// What was being done, and with what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen at {}: {reason}", path.display())]
    Socket {
        /// Where it was to be.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The trace cannot be written.
    #[error("cannot write the trace to {}: {source}", path.display())]
    Trace {
        /// Where it was to go.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A thread, an event or a signal handler cannot be made.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The library that speaks vhost-user gave up before a connection was there.
    #[error("cannot serve vhost-user: {0}")]
    Vhost(String),
}

impl Error {
    /// For `map_err`: what the device stands on.
    pub fn backing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Backing { what, source }
    }

    /// For `map_err`: what the process stands on.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, source: source.into() }
    }
}
