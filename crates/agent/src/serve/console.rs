// SPDX-License-Identifier: MIT OR Apache-2.0
//! A login shell on the serial console, for the person at the lab's end of it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use blockyard_proto::link::Control;
use blockyard_proto::{Outcome, Stream};
use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};

use super::exec;
use crate::error::{Context, Error};
use crate::reaper::{self, End};

const TTY: &str = "/dev/ttyS0";

/// Runs the shell until it exits, or until the lab's end leaves.
pub fn run(stream: &Arc<Stream>, terminal: &str, rows: u16, columns: u16) -> Result<Outcome, Error> {
    let what = || format!("cannot open {TTY}");
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let tty = File::options().read(true).write(true).custom_flags(flags).open(TTY).context(what)?;
    resize(&tty, rows, columns);
    let (_child, pid) = reaper::spawn(&mut shell(&tty, terminal).context(what)?)
        .context(|| "cannot start a shell on the console".into())?;
    stream.on_control(move |control| match control {
        Control::Resize { rows, columns } => resize(&tty, rows, columns),
        Control::Cancel | Control::Signal(_) => reaper::signal_group(pid, Signal::HUP),
    });
    Ok(match reaper::wait_for(pid) {
        End::Exited(code) => Outcome::Exited(code),
        End::Killed(signal) => Outcome::Killed(signal),
    })
}

/// The kernel tells the programs on the terminal by SIGWINCH.
fn resize(tty: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that keeps no size is used with the default.
    let _ = tcsetwinsize(tty, size);
}

fn shell(tty: &File, terminal: &str) -> std::io::Result<Command> {
    let mut command = Command::new("/bin/bash");
    command.arg("--login").current_dir("/root");
    exec::environment(&mut command, terminal);
    command.stdin(Stdio::from(tty.try_clone()?)).stdout(Stdio::from(tty.try_clone()?));
    command.stderr(Stdio::from(tty.try_clone()?));
    // SAFETY: two system calls through rustix between fork and exec; no allocation, no lock. Descriptor 0 is
    // the terminal by then: the standard library sets the streams up first.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    Ok(command)
}
