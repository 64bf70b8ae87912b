// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device in words: `TYPE[,option=value..]`, as on a command line.
//!
//! A doubled comma in a value is a comma. An option without a value is a switch: `read-only` is `read-only=on`. A
//! description is checked as a whole when it is parsed; files are opened when the device is made.

mod options;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

pub use self::options::{Options, SpecError};
use crate::device::Device;
use crate::error::Result;
use crate::{blk, console, hello, rng};

/// A device type.
pub struct Type {
    /// How a description begins.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Its options.
    pub options: &'static [OptionHelp],
    /// Takes the options.
    pub parse: fn(&mut Options) -> Result<Arc<dyn Plan>, SpecError>,
}

/// An option of a type, for people.
pub struct OptionHelp {
    /// Its name.
    pub name: &'static str,
    /// What its value is, as `SIZE`.
    pub value: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
}

/// A device to be: its options, checked.
pub trait Plan: fmt::Debug + Send + Sync {
    /// Makes it: opens files, takes memory.
    fn make(&self) -> Result<Arc<dyn Device>>;
}

/// All types. A new one is a line here.
pub const TYPES: &[&Type] = &[&blk::TYPE, &console::TYPE, &hello::TYPE, &rng::TYPE];

/// The types and their options, for people.
pub fn help() -> String {
    let mut text = String::from("Device types:\n");
    for kind in TYPES {
        text += &format!("  {}: {}\n", kind.name, kind.summary);
        for option in kind.options {
            let value = if option.value.is_empty() { String::new() } else { format!("={}", option.value) };
            text += &format!("    {:<20} {}\n", format!("{}{value}", option.name), option.summary);
        }
    }
    text
}

/// A description that makes sense.
#[derive(Debug, Clone)]
pub struct DeviceSpec {
    text: String,
    kind: &'static str,
    plan: Arc<dyn Plan>,
}

impl DeviceSpec {
    /// Its type's name.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Makes the device.
    pub fn make(&self) -> Result<Arc<dyn Device>> {
        self.plan.make()
    }

    /// Makes the device, and tells what a front end must know of it.
    pub fn describe(&self) -> Result<Description> {
        let device = self.make()?;
        Ok(Description {
            kind: device.name(),
            virtio_id: device.id(),
            queues: device.queues(),
            queue_size: device.queue_size(),
            config_size: device.config().len(),
        })
    }
}

impl FromStr for DeviceSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut options = Options::parse(text)?;
        let kind = TYPES.iter().find(|kind| kind.name == options.kind()).ok_or_else(|| {
            let known: Vec<_> = TYPES.iter().map(|kind| kind.name).collect();
            SpecError::new(format!("no device type `{}`: there is {}", options.kind(), list(&known)))
        })?;
        let known: Vec<_> = kind.options.iter().map(|option| option.name).collect();
        options.must_be_of(&known)?;
        let plan = (kind.parse)(&mut options)?;
        Ok(Self { text: text.to_owned(), kind: kind.name, plan })
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a front end must know before it connects; QEMU wants the number of queues on its command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The type's name.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The virtio id.
    pub virtio_id: u32,
    /// How many queues.
    pub queues: usize,
    /// Entries of each.
    pub queue_size: u16,
    /// Bytes of the configuration space.
    pub config_size: usize,
}

impl Description {
    /// As one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        [one] => (*one).into(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<DeviceSpec>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        assert_eq!(refused("floppy"), format!("no device type `floppy`: there is {}", known()));
        assert_eq!(refused(""), format!("no device type ``: there is {}", known()));
        let error = refused("blk,size=1M,colour=red");
        assert!(error.starts_with("blk has no option `colour`: it has "), "{error}");
        assert!(error.contains("size") && error.contains("read-only"), "{error}");
        assert_eq!(refused("blk,size=1M,size=2M"), "option `size` is given twice");
    }

    fn known() -> String {
        list(&TYPES.iter().map(|kind| kind.name).collect::<Vec<_>>())
    }

    #[test]
    fn a_description_is_told_as_json() {
        let spec: DeviceSpec = "blk,size=1M,queues=2".parse().unwrap();
        assert_eq!(
            spec.describe().unwrap().to_json(),
            r#"{"config_size":60,"queue_size":128,"queues":2,"type":"blk","virtio_id":2}"#
        );
    }
}
