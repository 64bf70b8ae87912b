// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use blockyard_abi::{bytedev, chardev_ioctl, virtio_hello, virtio_hello_echo};
use clap::{Parser, Subcommand};

/// Steers the character devices among the examples.
#[derive(Debug, Parser)]
#[command(
    name = "chrctl",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 the driver is not loaded."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) device: Device,
}

/// Which kind of device.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// A message (the driver `chardev_ioctl`).
    Message {
        /// The device.
        #[arg(long, default_value = chardev_ioctl::PATH)]
        device: PathBuf,
        #[command(subcommand)]
        command: MessageCommand,
    },
    /// A byte that is repeated for ever (the driver `bytedev`).
    Byte {
        /// The device.
        #[arg(long, default_value = bytedev::PATH)]
        device: PathBuf,
        #[command(subcommand)]
        command: ByteCommand,
    },
    /// A message that a virtio device sends back (the driver `virtio_hello`).
    Echo {
        /// The device.
        #[arg(long, default_value = virtio_hello_echo::PATH)]
        device: PathBuf,
        /// Have the device send it back with its last byte first.
        #[arg(long)]
        reverse: bool,
        /// How long the pieces of memory are that it goes in (0: as the driver likes).
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        request_piece: u32,
        /// How long those are that it comes back in.
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        reply_piece: u32,
        /// The message.
        text: OsString,
    },
}

impl Device {
    /// The module that has such devices.
    pub(crate) fn module(&self) -> &'static str {
        match self {
            Self::Message { .. } => chardev_ioctl::NAME,
            Self::Byte { .. } => bytedev::NAME,
            Self::Echo { .. } => virtio_hello::NAME,
        }
    }
}

/// What to do with a message.
#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// Set the message.
    Set {
        /// At most 252 bytes.
        text: OsString,
    },
    /// Print the message.
    Get,
    /// Print one byte of the message.
    Byte {
        /// Which, the first being 0.
        index: u32,
    },
}

/// What to do with a byte.
#[derive(Debug, Subcommand)]
pub(crate) enum ByteCommand {
    /// Set the byte that is read from now on; who waits for one gets it.
    Set {
        /// A number (65, 0x41), or a character that is no digit (A).
        #[arg(value_parser = byte)]
        byte: u8,
    },
    /// Print the byte.
    Get,
    /// Take the byte away: who reads waits until there is one.
    Clear,
}

/// A byte as people write it.
fn byte(text: &str) -> Result<u8, String> {
    if let [byte] = text.as_bytes()
        && !byte.is_ascii_digit()
    {
        return Ok(*byte);
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "a byte is a number from 0 to 255 (65, 0x41), or one character (A)".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bytes_are_numbers_or_characters() {
        assert_eq!(["65", "0x41", "A", "0", "255", "-"].map(byte), [65, 65, 65, 0, 255, 45].map(Ok));
        for wrong in ["256", "0x100", "-1", "AB", "", "0x", "ä"] {
            assert!(byte(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_longest_message_is_the_one_that_the_help_tells() {
        assert_eq!(chardev_ioctl::MAX_LENGTH, 252);
    }
}
