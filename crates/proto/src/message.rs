// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be asked of the agent, and how it can end.

use serde::{Deserialize, Serialize};

/// What a stream is opened for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Run a command. `In` is its standard input, `Out` and `Err` its outputs.
    Exec(Exec),
    /// Send a file's content on `Out`; ends as [`Outcome::File`].
    Read {
        /// The file; relative to `/root`.
        #[serde(with = "serde_bytes")]
        path: Vec<u8>,
    },
    /// Make or replace a file with what comes on `In`, whole or not at all.
    Write {
        /// The file; relative to `/root`.
        #[serde(with = "serde_bytes")]
        path: Vec<u8>,
        /// Its permission bits.
        mode: u32,
    },
    /// Send the kernel log on `Out`, from its first record on and for ever: records as /dev/kmsg gives them.
    KernelLog,
    /// Write a line of our own into the kernel log, after all that is pending has had its chance to complain:
    /// who reads it there has read everything before it.
    MarkKernelLog {
        /// The line.
        text: String,
    },
    /// Wait until a disk with this serial is there, or is gone.
    AwaitDisk {
        /// The disk's serial.
        serial: String,
        /// There, or gone.
        present: bool,
        /// How long to wait, in milliseconds.
        limit_ms: u64,
    },
    /// Wait for the virtio device behind a root port.
    AwaitVirtio {
        /// The port's PCI address, as in `0000:00:04.0`.
        port: String,
        /// What to wait for.
        presence: Presence,
        /// How long to wait, in milliseconds.
        limit_ms: u64,
    },
    /// Run a login shell on the serial console, until it exits.
    Console {
        /// The terminal's type, for TERM.
        terminal: String,
        /// Rows of text.
        rows: u16,
        /// Columns of text.
        columns: u16,
    },
    /// Unmount, sync, and reset the machine at once. QEMU runs with `-no-reboot` and ends.
    Reset,
}

/// How far a device is in coming or going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// The kernel knows it.
    Present,
    /// A driver has taken it and is done with its probe.
    Driven,
    /// The kernel has let go of it.
    Gone,
}

/// A command to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program, looked up in PATH, and its arguments; exactly these, no shell in between.
    pub argv: Vec<serde_bytes::ByteBuf>,
    /// Added to the agent's own environment.
    pub env: Vec<(String, String)>,
    /// Where to start; `/root` if empty.
    pub dir: String,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The command exited with this code.
    Exited(i32),
    /// The command was ended by this signal.
    Killed(i32),
    /// What was asked has been done.
    Done,
    /// The file was sent.
    File {
        /// Its permission bits.
        mode: u32,
    },
    /// It could not be done.
    Failed(Failure),
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A sentence, with the value it is about.
    pub message: String,
    /// The system's error number, if one is behind it.
    pub errno: Option<i32>,
}

/// What the agent must know to boot: laid into the initramfs by the lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// The guest's host name.
    pub hostname: String,
    /// The network, if it has one.
    pub net: Option<NetConfig>,
}

/// A static configuration: QEMU's user network is always the same, so no DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetConfig {
    /// Address and prefix length, `10.0.2.15/24`.
    pub address: String,
    /// The default route.
    pub gateway: String,
    /// The name server.
    pub dns: String,
}
