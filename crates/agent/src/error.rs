// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's one error: what was being done, and what the system answered.

use std::io;

use blockyard_proto::{Failure, Outcome};

/// Something the agent could not do.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct Error {
    what: String,
    cause: io::Error,
}

impl Error {
    /// An error that no system call reported.
    pub fn other(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { what: what.into(), cause: io::Error::other(cause.into()) }
    }

    /// As the end of a stream.
    pub fn outcome(&self) -> Outcome {
        Outcome::Failed(Failure { message: self.to_string(), errno: self.cause.raw_os_error() })
    }
}

/// Adds what was being done to a system's answer.
pub trait Context<T> {
    /// The sentence is made only when there is an error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|e| Error { what: what(), cause: e.into() })
    }
}
