// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the calls answered.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use blockyard_abi::ioctl::Ioctl;

use crate::documented::{IOCTLS, allows, name};

/// Answers by ioctl (raw number) and error number, 0 for success; and I/Os, by how they ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    calls: BTreeMap<(u32, i32), u64>,
    ios: BTreeMap<i32, u64>,
}

impl Tally {
    /// Counts an answer.
    pub(crate) fn call(&mut self, number: Ioctl, errno: i32) {
        // Unknown numbers are many: the first stands for all that answered alike.
        let key = if name(number).is_some() || !allows(number, errno) { number.raw() } else { 0 };
        *self.calls.entry((key, errno)).or_default() += 1;
    }

    /// Counts an I/O.
    pub(crate) fn io(&mut self, errno: i32) {
        *self.ios.entry(errno).or_default() += 1;
    }

    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: Self) {
        for (key, count) in other.calls {
            *self.calls.entry(key).or_default() += count;
        }
        for (key, count) in other.ios {
            *self.ios.entry(key).or_default() += count;
        }
    }

    /// Answers that the interface does not document.
    pub(crate) fn undocumented(&self) -> Vec<String> {
        let wrong = |(number, errno): &&(u32, i32)| {
            *errno != 0 && *number != 0 && !allows(Ioctl::from_raw(*number), *errno)
        };
        let unknown = |(number, errno): &&(u32, i32)| *errno == 0 && name(Ioctl::from_raw(*number)).is_none();
        let lines = self.calls.keys().filter(|key| wrong(key) || unknown(key));
        lines
            .map(|(number, errno)| format!("{:?} answered {}", Ioctl::from_raw(*number), describe(*errno)))
            .collect()
    }

    /// Ioctls that were never answered with success: then the torture did not reach behind their checks.
    pub(crate) fn never_succeeded(&self) -> Vec<&'static str> {
        let idle = IOCTLS.iter().filter(|(number, _)| !self.calls.contains_key(&(number.raw(), 0)));
        idle.map(|(_, name)| *name).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((number, errno), count) in &self.calls {
            let name = name(Ioctl::from_raw(*number)).unwrap_or("unknown");
            writeln!(f, "{name:12} {count:>10}  {}", describe(*errno))?;
        }
        for (errno, count) in &self.ios {
            writeln!(f, "{:12} {count:>10}  {}", "I/O", describe(*errno))?;
        }
        Ok(())
    }
}

fn describe(errno: i32) -> String {
    if errno == 0 { "success".into() } else { io::Error::from_raw_os_error(errno).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_abi::simblk as abi;

    #[test]
    fn what_is_not_documented_is_found() {
        let mut tally = Tally::default();
        tally.call(abi::CREATE.number(), libc::EINVAL);
        tally.call(Ioctl::none(abi::IOCTL_TYPE, 99), libc::ENOTTY);
        assert!(tally.undocumented().is_empty());
        tally.call(abi::LIST.number(), libc::EIO);
        tally.call(Ioctl::none(abi::IOCTL_TYPE, 99), 0);
        tally.call(Ioctl::none(abi::IOCTL_TYPE, 99), libc::EINVAL);
        assert_eq!(tally.undocumented().len(), 3, "{:?}", tally.undocumented());
    }

    #[test]
    fn what_never_succeeded_is_named() {
        let mut tally = Tally::default();
        IOCTLS.iter().skip(1).for_each(|(number, _)| tally.call(*number, 0));
        assert_eq!(tally.never_succeeded(), ["CREATE"]);
    }
}
