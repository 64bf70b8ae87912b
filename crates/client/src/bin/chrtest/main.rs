// SPDX-License-Identifier: MIT OR Apache-2.0
//! `chrtest`: what the tests of the character devices need and no shell can do. Each command makes some system calls and
//! prints one line for each result; what is right is for the test to say. It goes beside the safe API of `blockyard_client`
//! on purpose.

mod bytes;
mod echo;
mod gone;
mod message;
mod place;
mod positions;
mod waiting;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Makes system calls on the character devices among the examples, and prints their results.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ioctls that `chardev_ioctl` must refuse.
    BadMessage { device: PathBuf },
    /// Ioctls that `bytedev` must refuse.
    BadByte { device: PathBuf },
    /// Sets the message to LENGTH times LETTER, over and over, until it is killed.
    Repeat { device: PathBuf, letter: char, length: usize },
    /// Reads the message until it was seen COUNT times from each of two `repeat`; fails if one was mixed.
    Uniform { device: PathBuf, count: usize },
    /// Reads at positions, those of `chardev`.
    Seek { device: PathBuf },
    /// Reads SIZE bytes at once.
    Read {
        device: PathBuf,
        size: usize,
        #[arg(long)]
        nonblock: bool,
    },
    /// Asks what can be done without waiting.
    Poll { device: PathBuf },
    /// A read and a poll that wait, until a byte is set.
    Wake { device: PathBuf },
    /// A read that waits and a long read, each under signals.
    Signals { device: PathBuf },
    /// Messages of every length up to some, and of some up to LONGEST, in pieces of many lengths each way; each compared.
    EchoSplits { device: PathBuf, longest: usize },
    /// COUNT messages of LENGTH bytes, WINDOW on their way at a time; each compared. Tells how long one took.
    EchoMany { device: PathBuf, count: u64, length: usize, window: u64 },
    /// COUNT messages by each of OPENERS who have the device open at the same time.
    EchoOpeners { device: PathBuf, openers: u64, count: u64 },
    /// What the echo file must refuse.
    BadEcho { device: PathBuf },
    /// A read, a poll, and with `--write` a write that wait until the device is gone; says so when all of them do.
    Gone {
        device: PathBuf,
        #[arg(long)]
        write: bool,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chrtest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::BadMessage { device } => message::refusals(&device),
        Command::BadByte { device } => bytes::refusals(&device),
        Command::Repeat { device, letter, length } => message::repeat(&device, letter, length),
        Command::Uniform { device, count } => message::uniform(&device, count),
        Command::Seek { device } => positions::seek(&device),
        Command::Read { device, size, nonblock } => bytes::read(&device, size, nonblock),
        Command::Poll { device } => bytes::poll(&device),
        Command::Wake { device } => waiting::wake(&device),
        Command::Signals { device } => waiting::signals(&device),
        Command::EchoSplits { device, longest } => echo::splits(&device, longest),
        Command::EchoMany { device, count, length, window } => echo::many(&device, count, length, window),
        Command::EchoOpeners { device, openers, count } => echo::openers(&device, openers, count),
        Command::BadEcho { device } => echo::refusals(&device),
        Command::Gone { device, write } => gone::wait(&device, write),
    }
}

/// How a call ended, for people: `ok`, or the error's name.
fn outcome(result: io::Result<()>) -> String {
    let Err(error) = result else { return "ok".into() };
    let name = match error.raw_os_error() {
        Some(libc::EAGAIN) => "EAGAIN",
        Some(libc::EFAULT) => "EFAULT",
        Some(libc::EINTR) => "EINTR",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::EMSGSIZE) => "EMSGSIZE",
        Some(libc::ENODATA) => "ENODATA",
        Some(libc::ENODEV) => "ENODEV",
        Some(libc::ENOTTY) => "ENOTTY",
        Some(libc::EOPNOTSUPP) => "EOPNOTSUPP",
        Some(libc::ERANGE) => "ERANGE",
        Some(libc::ESPIPE) => "ESPIPE",
        _ => return error.to_string(),
    };
    name.into()
}
