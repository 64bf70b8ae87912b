// SPDX-License-Identifier: MIT OR Apache-2.0
//! One error for the whole lab: a kind to match on, a sentence that says what went wrong and with which
//! value, what to do about it, and the cause underneath.
//!
//! A caller decides by [`Kind`] (a test harness must tell "the machine died" from "the lab could not
//! start it"); a person reads the sentence and the help. Both come from the place that knows them.

use std::error::Error as StdError;
use std::fmt;

/// What class of thing failed; the command's exit code follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The caller asked for something that makes no sense: an unknown driver, a bad size.
    Usage,
    /// A tool or package that the lab stands on is missing or too old.
    Need,
    /// A file, guest or cache entry that was named does not exist.
    NotFound,
    /// Packages or sources could not be fetched.
    Network,
    /// A file system is full.
    NoSpace,
    /// A compiler or `make` failed: the kernel, a module, the agent.
    Build,
    /// The kernel's configuration lacks what was asked for.
    Config,
    /// The machine started and never reached user space.
    Boot,
    /// The machine ended while it was being used: a panic, a killed QEMU, a dead agent.
    MachineDied,
    /// The guest was asked for something and refused: a file that is not there, a module that does not load.
    Guest,
    /// The kernel log holds what no healthy kernel says.
    KernelLog,
    /// A deadline passed.
    Timeout,
    /// The user interrupted with Ctrl-C or SIGTERM.
    Interrupted,
    /// The lab itself failed: a system call, a socket, a broken file.
    Lab,
}

/// What any fallible function of the lab returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the lab. Prints as its sentence alone; [`Error::help`] and the chain of
/// [`source`](StdError::source)s are for the command to lay out.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error: `message` says what went wrong and with which value, in one sentence without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source: None }))
    }

    /// Says what the person can do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Keeps the cause. An I/O error for lack of space turns the kind into [`Kind::NoSpace`], wherever it
    /// surfaced, because that is what the person must mend.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        let full = |io: &std::io::Error| {
            matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        };
        if source.downcast_ref::<std::io::Error>().is_some_and(full)
            || source.downcast_ref::<Self>().is_some_and(|e| e.kind() == Kind::NoSpace)
        {
            self.0.kind = Kind::NoSpace;
        }
        self.0.source = Some(source);
        self
    }

    /// The class to match on.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What to do next, if the place that failed knew.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

/// Adds what was being done to an error from below.
pub trait Context<T> {
    /// Wraps the error with a sentence of what was being done, made only when there is an error.
    fn context<S: Into<String>>(self, kind: Kind, message: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context<S: Into<String>>(self, kind: Kind, message: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| Error::new(kind, message()).with_source(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_as_such_wherever_it_surfaces() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Err::<(), _>(full).context(Kind::Build, || "cannot write the image").unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace);
    }

    #[test]
    fn the_cause_stays_reachable() {
        let error = Error::new(Kind::Lab, "cannot start").with_source(std::io::Error::other("because"));
        assert_eq!(error.to_string(), "cannot start");
        assert_eq!(error.source().unwrap().to_string(), "because");
    }
}
