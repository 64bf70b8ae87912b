// SPDX-License-Identifier: MIT OR Apache-2.0
//! A console: virtio-console (virtio 1.2, section 5.3) with its one port, driven by Linux's own `virtio_console`, which
//! makes it `/dev/hvc0`.
//!
//! | room | what is there |
//! |---|---|
//! | [`device`] | what the driver sees: features, configuration, a handler for each of the two queues |
//! | [`io`] | what is at the other end: a program at a socket, or a file |
//! | [`metrics`] | what was counted |
//!
//! What the guest prints never waits: the driver spins until the device has taken it. So a console that nobody reads
//! forgets the oldest of it, as one of glass does.

pub mod device;
pub mod io;
pub mod metrics;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::device::Console;
use crate::error::Result;
use crate::spec::{OptionHelp, Options, Plan, SpecError, Type};

/// How much of what was printed is kept for a program that connects later, in bytes.
const KEPT: usize = 64 << 10;

/// The type `console`.
pub const TYPE: Type = Type {
    name: "console",
    summary: "a terminal's line (virtio-console)",
    options: &[
        OptionHelp {
            name: "console",
            value: "PATH",
            summary: "the socket of the host's side (SOCKET with the extension console)",
        },
        OptionHelp { name: "file", value: "PATH", summary: "a file to print to, in place of a socket" },
        OptionHelp {
            name: "size",
            value: "COLSxROWS",
            summary: "of the terminal, as 80x25; else it is not told",
        },
        OptionHelp { name: "queue-size", value: "N", summary: "entries of a queue (64)" },
    ],
    parse,
};

/// A console to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What is at the other end.
    pub far_end: FarEnd,
    /// Columns and rows, if the driver is told.
    pub size: Option<(u16, u16)>,
    /// Entries of each queue.
    pub queue_size: u16,
}

/// What is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FarEnd {
    /// A program at a socket: at this path, or beside the device's own.
    Socket(Option<PathBuf>),
    /// A file, to which is added. Nothing comes from there.
    File(PathBuf),
}

fn parse(options: &mut Options) -> Result<Arc<dyn Plan>, SpecError> {
    let far_end = match (options.path("console")?, options.path("file")?) {
        (Some(_), Some(_)) => return Err(SpecError::new("a console has `console` or `file`, not both")),
        (None, Some(path)) => FarEnd::File(path),
        (path, None) => FarEnd::Socket(path),
    };
    let size = options.text("size")?.map(|text| size(&text)).transpose()?;
    let queue_size = options.power_of_two("queue-size", 4..=1024)?.unwrap_or(64) as u16;
    Ok(Arc::new(Settings { far_end, size, queue_size }))
}

fn size(text: &str) -> Result<(u16, u16), SpecError> {
    let number = |digits: &str| digits.parse::<u16>().ok().filter(|number| *number > 0);
    let size = text.split_once('x').and_then(|(columns, rows)| Some((number(columns)?, number(rows)?)));
    size.ok_or_else(|| {
        SpecError::new(format!("option `size` cannot be `{text}`: it is columns and rows, as 80x25"))
    })
}

impl Plan for Settings {
    fn make(&self) -> Result<Arc<dyn crate::Device>> {
        Ok(Arc::new(Console::new(self.clone())?))
    }
}

#[cfg(test)]
mod tests {
    use crate::DeviceSpec;

    fn refused(text: &str) -> String {
        text.parse::<DeviceSpec>().unwrap_err().to_string()
    }

    #[test]
    fn sizes_and_ends_that_make_no_sense_are_refused() {
        for size in ["80", "80x", "0x25", "80x25x2", "70000x1", "axb"] {
            assert!(refused(&format!("console,size={size}")).contains("as 80x25"), "{size}");
        }
        assert!(refused("console,file=/a,console=/b").contains("not both"));
    }

    #[test]
    fn the_size_is_told_only_if_there_is_one() {
        let features = |text: &str| text.parse::<DeviceSpec>().unwrap().make().unwrap().features();
        assert_eq!((features("console"), features("console,size=80x25")), (0, 1));
        let device = "console,size=132x50".parse::<DeviceSpec>().unwrap().make().unwrap();
        assert_eq!(device.config(), [132, 0, 50, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
