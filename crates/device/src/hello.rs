// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hello`: a device that shows every part of virtio once. [`blockyard_abi::virtio_hello`] lays it down.
//!
//! | room | what is there |
//! |---|---|
//! | [`device`] | what the driver sees: features, configuration, a handler for each of the four queues |
//! | [`request`] | an echo: bytes to a typed request, or the status that refuses it |
//! | [`io`] | streams and events, over a [`Bridge`](crate::bridge::Bridge) to a program of the host |
//! | [`metrics`] | what was counted |
//!
//! The stream socket is beside the device's own, with the extension `stream`, unless the option `stream` names another.

pub mod device;
pub mod io;
pub mod metrics;
pub mod request;

use std::path::PathBuf;
use std::sync::Arc;

use blockyard_abi::virtio_hello as abi;

pub use self::device::Hello;
use crate::error::Result;
use crate::spec::{OptionHelp, Options, Plan, SpecError, Type};

/// The longest payload that can be asked for, in bytes.
const MOST_MESSAGE: u64 = 64 << 20;
/// The most that a stream can hold, in bytes.
const MOST_CAPACITY: u64 = 1 << 30;

/// The type `hello`.
pub const TYPE: Type = Type {
    name: "hello",
    summary: "echo, streams and events: every part of virtio once",
    options: &[
        OptionHelp {
            name: "stream",
            value: "PATH",
            summary: "the stream socket (SOCKET with the extension stream)",
        },
        OptionHelp { name: "capacity", value: "SIZE", summary: "what a stream holds each way (64K)" },
        OptionHelp { name: "max-message", value: "SIZE", summary: "the longest payload of an echo (1M)" },
        OptionHelp { name: "no-checksum", value: "", summary: "does not offer checksums" },
        OptionHelp { name: "no-reverse", value: "", summary: "does not offer to reverse a payload" },
        OptionHelp { name: "no-events", value: "", summary: "does not offer events" },
        OptionHelp { name: "queue-size", value: "N", summary: "entries of a queue (128)" },
    ],
    parse,
};

/// A hello to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the stream socket is, if not beside the device's own.
    pub stream: Option<PathBuf>,
    /// In bytes.
    pub capacity: usize,
    /// In bytes.
    pub max_message: u32,
    /// Those of [`abi::FEATURES`] that are offered.
    pub features: u64,
    /// Entries of each queue.
    pub queue_size: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream: None,
            capacity: abi::DEFAULT_CAPACITY as usize,
            max_message: abi::DEFAULT_MAX_MESSAGE,
            features: abi::FEATURES,
            queue_size: 128,
        }
    }
}

fn parse(options: &mut Options) -> Result<Arc<dyn Plan>, SpecError> {
    let mut settings = Settings { stream: options.path("stream")?, ..Settings::default() };
    if let Some(bytes) = within(options, "capacity", MOST_CAPACITY)? {
        settings.capacity = bytes as usize;
    }
    if let Some(bytes) = within(options, "max-message", MOST_MESSAGE)? {
        settings.max_message = bytes as u32;
    }
    for (switch, feature) in
        [("no-checksum", abi::F_CHECKSUM), ("no-reverse", abi::F_REVERSE), ("no-events", abi::F_EVENTS)]
    {
        if options.switch(switch)? {
            settings.features &= !(1 << feature);
        }
    }
    if let Some(entries) = options.power_of_two("queue-size", 4..=1024)? {
        settings.queue_size = entries as u16;
    }
    Ok(Arc::new(settings))
}

/// A size of at least a byte and at most this.
fn within(options: &mut Options, name: &str, most: u64) -> Result<Option<u64>, SpecError> {
    match options.size(name)? {
        Some(bytes) if !(1..=most).contains(&bytes) => {
            Err(SpecError::new(format!("option `{name}` cannot be `{bytes}`: it is 1 to {most} bytes")))
        }
        bytes => Ok(bytes),
    }
}

impl Plan for Settings {
    fn make(&self) -> Result<Arc<dyn crate::Device>> {
        Ok(Arc::new(Hello::new(self.clone())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    fn refused(text: &str) -> String {
        text.parse::<DeviceSpec>().unwrap_err().to_string()
    }

    #[test]
    fn options_are_held_against_what_makes_sense() {
        assert_eq!(
            refused("hello,capacity=0"),
            "option `capacity` cannot be `0`: it is 1 to 1073741824 bytes"
        );
        assert!(refused("hello,max-message=1G").contains("67108864"));
        assert!(refused("hello,no-events=perhaps").contains("on or off"));
        assert!(refused("hello,queue-size=100").contains("power of two"));
    }

    #[test]
    fn each_feature_can_be_left_out() {
        let features = |text: &str| text.parse::<DeviceSpec>().unwrap().make().unwrap().features();
        assert_eq!(features("hello"), abi::FEATURES);
        assert_eq!(features("hello,no-events"), 1 << abi::F_CHECKSUM | 1 << abi::F_REVERSE);
        assert_eq!(features("hello,no-checksum,no-reverse,no-events"), 0);
        assert_eq!(features("hello,no-checksum=off"), abi::FEATURES);
    }

    #[test]
    fn a_description_opens_no_socket() {
        let description = "hello".parse::<DeviceSpec>().unwrap().describe().unwrap();
        assert_eq!((description.virtio_id, description.queues, description.config_size), (35, 4, 24));
    }
}
