// SPDX-License-Identifier: MIT OR Apache-2.0
//! PID 1 of the guest: makes a Linux system out of an initramfs and a disk, and does what the lab asks.
//!
//! It is the whole of the guest's init: no service manager stands between a test and the kernel, and the boot
//! takes tenths of a second. Its duties are those of any init (mount, reap orphans, never exit) and those of a
//! lab's hand: run commands with their streams apart, move files, read the kernel log, end the machine.
//!
//! Whatever goes wrong is said on the console, where the lab finds it: a boot that cannot go on ends the
//! machine with the reason in its last line; nothing ever waits in silence.

mod boot;
mod console;
mod error;
mod port;
mod power;
mod reaper;
mod serve;

use std::convert::Infallible;
use std::process::ExitCode;

use blockyard_proto::{CONSOLE_BOOT_FAILED, OWNER_PORT, VISITOR_PORT};

use error::Error;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("blockyard-agent runs as PID 1 of a guest that `blockyard` boots, and nowhere else");
        return ExitCode::from(2);
    }
    console::report_panics();
    let Err(error) = run();
    console::say(&format!("{CONSOLE_BOOT_FAILED}{error}"));
    power::reset_now()
}

/// Boots, then serves for ever.
fn run() -> Result<Infallible, Error> {
    let mut profile = boot::Profile::start();
    let config = boot::boot(&mut profile)?;
    reaper::start()?;
    boot::late(&config, &mut profile)?;
    serve::start(OWNER_PORT)?;
    serve::start(VISITOR_PORT)?;
    profile.reached("ready");
    profile.log();
    loop {
        std::thread::park();
    }
}
