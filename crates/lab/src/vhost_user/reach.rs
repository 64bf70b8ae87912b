// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which devices a machine can take, which is decided when it is started.

use super::{Plan, Reconnect, Shape};
use crate::error::{Error, Kind, Result};
use crate::qemu::Qemu;

/// What the machine was started with, for the devices that it may get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach(Option<Known>);

#[derive(Debug, Clone, Copy)]
struct Known {
    reconnect: Reconnect,
    generic: bool,
}

impl Reach {
    /// That of a machine under this QEMU, which is to have these devices or others like them.
    pub(crate) fn new<'a>(qemu: &Qemu, mut plans: impl Iterator<Item = &'a Plan>) -> Result<Self> {
        if plans.next().is_none() {
            return Ok(Self(None));
        }
        let version = qemu.version()?;
        Ok(Self(Some(Known {
            reconnect: Reconnect::of(version),
            generic: Qemu::has_generic_device(version),
        })))
    }

    /// Whether the guest's memory is shared.
    pub(crate) fn memory(&self) -> bool {
        self.0.is_some()
    }

    /// How a connection to such a device is made again; an error if this machine cannot have it.
    pub(crate) fn reconnect(&self, shape: &Shape) -> Result<Reconnect> {
        let why = match self.0 {
            None => "its memory is its own",
            Some(known) if shape.is_generic() && !known.generic => "its QEMU does not know such a device",
            Some(known) => return Ok(known.reconnect),
        };
        let message = format!("this machine was not started for a device such as {}: {why}", shape.kind);
        Err(Error::new(Kind::Usage, message)
            .with_help("have the machine expect it (MachineBuilder::expect_device) before it boots"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(virtio_id: u16) -> Shape {
        Shape { kind: "x".into(), virtio_id, queues: 1, queue_size: 64, config_size: 0 }
    }

    #[test]
    fn a_machine_takes_what_it_was_started_for() {
        let old = Reach(Some(Known { reconnect: Reconnect::Seconds, generic: false }));
        assert_eq!(old.reconnect(&shape(2)).unwrap(), Reconnect::Seconds);
        let error = old.reconnect(&shape(35)).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.help().unwrap().contains("expect_device"));
        assert!(Reach(None).reconnect(&shape(2)).is_err() && !Reach(None).memory());
    }
}
