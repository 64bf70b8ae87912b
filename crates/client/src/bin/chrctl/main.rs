// SPDX-License-Identifier: MIT OR Apache-2.0
//! `chrctl`: steers the character devices among the examples, a message (`chardev_ioctl`), a byte (`bytedev`) and a message
//! that comes back (`virtio_hello`). Thin: each command is a call of `blockyard_client::chrdev`.

mod args;

use std::error::Error as _;
use std::io::{self, Write};
use std::process::ExitCode;

use blockyard_abi::virtio_hello::{OP_ECHO, OP_REVERSE};
use blockyard_abi::virtio_hello_echo::Way;
use blockyard_client::chrdev::{ByteDevice, EchoDevice, Error, MessageDevice};
use clap::Parser;

use args::{ByteCommand, Cli, Device, MessageCommand};

/// How a command failed.
enum Failure {
    /// The driver, or the way to it.
    Driver(Error),
    /// The output could not be written.
    Output(io::Error),
    /// There is no byte to tell.
    NoByte,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    match run(&cli.device, &mut out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(report(&failure, &cli.device)),
    }
}

fn run(device: &Device, out: &mut dyn Write) -> Result<(), Failure> {
    match device {
        Device::Message { device, command } => message(&MessageDevice::open(device)?, command, out),
        Device::Byte { device, command } => byte(&ByteDevice::open(device)?, command, out),
        Device::Echo { device, reverse, request_piece, reply_piece, text } => {
            let op = if *reverse { OP_REVERSE } else { OP_ECHO };
            let way = Way { op, request_piece: *request_piece, reply_piece: *reply_piece, reserved: 0 };
            echo(&EchoDevice::open(device)?, way, text.as_encoded_bytes(), out)
        }
    }
}

fn message(device: &MessageDevice, command: &MessageCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        MessageCommand::Set { text } => Ok(device.set(text.as_encoded_bytes())?),
        MessageCommand::Get => {
            out.write_all(&device.get()?)?;
            Ok(writeln!(out)?)
        }
        MessageCommand::Byte { index } => {
            let byte = device.byte(*index)?;
            Ok(writeln!(out, "{byte:#04x} '{}'", byte.escape_ascii())?)
        }
    }
}

fn byte(device: &ByteDevice, command: &ByteCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ByteCommand::Set { byte } => Ok(device.set(*byte)?),
        ByteCommand::Get => {
            let byte = device.get()?.ok_or(Failure::NoByte)?;
            Ok(writeln!(out, "{byte:#04x} '{}'", byte.escape_ascii())?)
        }
        ByteCommand::Clear => Ok(device.clear()?),
    }
}

fn echo(device: &EchoDevice, way: Way, text: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    device.set_way(way)?;
    let mut reply = vec![0; text.len()];
    if !text.is_empty() {
        device.send(text)?;
        let len = device.receive(&mut reply)?;
        reply.truncate(len);
    }
    out.write_all(&reply)?;
    Ok(writeln!(out)?)
}

/// Says on standard error what failed; gives the exit code (they are listed in `chrctl --help`).
fn report(failure: &Failure, device: &Device) -> u8 {
    match failure {
        // The reader of our output has seen enough.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 141,
        Failure::Output(error) => {
            eprintln!("chrctl: cannot write the output: {error}");
            1
        }
        Failure::NoByte => {
            eprintln!("chrctl: no byte is set\n        set one: chrctl byte set BYTE");
            1
        }
        Failure::Driver(error) => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("chrctl: {error}{cause}");
            match error {
                Error::NotLoaded { .. } => {
                    eprintln!("        load the driver: modprobe {}", device.module());
                    3
                }
                Error::NotAgreed { .. } => {
                    eprintln!("        offered and agreed on: /sys/bus/virtio/devices/virtio*/hello");
                    1
                }
                _ => 1,
            }
        }
    }
}
