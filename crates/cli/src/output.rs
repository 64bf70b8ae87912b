// SPDX-License-Identifier: MIT OR Apache-2.0
//! An output that cannot be written to: a reader that has read enough (`blockyard ps | head -1`), a disk that
//! is full.
//!
//! What a guest's command prints is passed on by [`pass_on`], whose error says which of the two it was. `println!` panics then. That is not as bad as it sounds, since a panic unwinds, and whatever this process has started
//! ends with the values that own it; the default action of SIGPIPE would leave it behind. So such a panic is let go
//! its way, and told to the user as what it is.

use std::any::Any;
use std::io::{ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use blockyard_lab::{Error, Kind, Result};

use crate::exit::{self, ReaderGone};

/// How the standard library's message begins.
const UNWRITTEN: &str = "failed printing to stdout";
/// `include/uapi/asm-generic/errno-base.h`.
const EPIPE: i32 = 32;

/// Passes bytes on to an output of ours, at once. Where its reader has gone, the error ends the command as SIGPIPE would end a
/// local one: see [`ReaderGone`].
pub fn pass_on(mut to: impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|e| {
        let gone = e.kind() == ErrorKind::BrokenPipe;
        let error = Error::new(Kind::Lab, "cannot pass the command's output on");
        if gone { error.with_source(ReaderGone) } else { error.with_source(e) }
    })
}

/// Runs the command, and ends it in good order if its output is not taken.
pub fn guarded(command: impl FnOnce() -> ExitCode) -> ExitCode {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if unwritten(panic.payload()).is_none() {
            hook(panic);
        }
    }));
    // Nothing of the command is looked at after a panic.
    match catch_unwind(AssertUnwindSafe(command)) {
        Ok(code) => code,
        Err(panic) => match unwritten(&*panic) {
            Some(message) => end(message),
            None => resume_unwind(panic),
        },
    }
}

fn end(message: &str) -> ExitCode {
    // Whoever has closed the pipe knows.
    if message.contains(&std::io::Error::from_raw_os_error(EPIPE).to_string()) {
        return ExitCode::from(exit::READER_GONE);
    }
    let cause = message.trim_start_matches(UNWRITTEN).trim_start_matches(": ");
    exit::report(&Error::new(Kind::Lab, format!("standard output cannot be written to: {cause}")))
}

/// What a panic says that is about standard output.
fn unwritten(panic: &(dyn Any + Send)) -> Option<&str> {
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    message.filter(|message| message.starts_with(UNWRITTEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_panic_about_standard_output_is_one() {
        let broken: Box<dyn Any + Send> = Box::new(format!("{UNWRITTEN}: Broken pipe (os error 32)"));
        let other: Box<dyn Any + Send> = Box::new("index out of bounds");
        assert!(unwritten(&*broken).is_some() && unwritten(&*other).is_none());
    }
}
