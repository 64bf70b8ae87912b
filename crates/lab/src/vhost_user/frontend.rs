// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's side of a vhost-user device.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Shape;
use crate::qemu::port_name;
use crate::version::Version;

/// QEMU's frontends by virtio id: QEMU's name, and whether it can be connected to a backend that was started again.
/// That of the disk sets everything up anew and has requests in flight done again; all others leave a device that
/// nobody serves (QEMU 7.2 to 11.1, `vub_connect` in `hw/virtio/vhost-user-base.c`).
const FRONTENDS: [(u16, &str, bool); 2] = [(2, "vhost-user-blk-pci", true), (4, "vhost-user-rng-pci", false)];

/// The generic one.
const GENERIC: &str = "vhost-user-test-device-pci";

impl Shape {
    fn frontend(&self) -> Option<&'static (u16, &'static str, bool)> {
        FRONTENDS.iter().find(|(id, ..)| *id == self.virtio_id)
    }

    /// Whether it takes the generic frontend, which only a new QEMU has.
    pub(crate) fn is_generic(&self) -> bool {
        self.frontend().is_none()
    }

    /// Whether the guest's device lives on when its backend is started again.
    pub(crate) fn reconnects(&self) -> bool {
        self.frontend().is_some_and(|(.., reconnects)| *reconnects)
    }
}

/// How QEMU is told to connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Every second; the word has gone from newer ones.
    Seconds,
    /// Every tenth of a second, from QEMU 9.2 on.
    Millis,
}

impl Reconnect {
    /// What this QEMU understands.
    pub fn of(version: Version) -> Self {
        if version >= Version::new(9, 2, 0) { Self::Millis } else { Self::Seconds }
    }

    fn option(self) -> (&'static str, u32) {
        match self {
            Self::Seconds => ("reconnect", 1),
            Self::Millis => ("reconnect-ms", 100),
        }
    }
}

/// A vhost-user device as QEMU attaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend {
    /// Names it in QMP: letters, digits and dashes.
    pub name: String,
    /// The backend's socket.
    pub socket: PathBuf,
    /// What it is.
    pub shape: Shape,
    /// The root port, counted from 0.
    pub port: u8,
    /// How a lost connection is made again, if this frontend can live with that.
    pub reconnect: Option<Reconnect>,
}

impl Frontend {
    /// QEMU's name of the connection.
    pub fn chardev_id(&self) -> String {
        format!("chr-{}", self.name)
    }

    /// QEMU's name of the device.
    pub fn device_id(&self) -> String {
        format!("dev-{}", self.name)
    }

    /// `-chardev`'s description of the connection, given the socket's path in QEMU's syntax.
    pub fn chardev(&self, path: &str) -> String {
        let again = self.reconnect.map(Reconnect::option);
        let again = again.map_or(String::new(), |(word, value)| format!(",{word}={value}"));
        format!("socket,id={},path={path}{again}", self.chardev_id())
    }

    /// QMP's description of the connection.
    pub fn chardev_add(&self) -> Value {
        let addr = json!({ "type": "unix", "data": { "path": self.socket.display().to_string() } });
        let mut data = json!({ "addr": addr, "server": false });
        if let Some((word, value)) = self.reconnect.map(Reconnect::option) {
            data[word] = value.into();
        }
        json!({ "id": self.chardev_id(), "backend": { "type": "socket", "data": data } })
    }

    /// QMP's and `-device`'s description of the device.
    pub fn device(&self) -> Value {
        let Shape { virtio_id, queues, queue_size, config_size, .. } = &self.shape;
        let mut device = json!({
            "driver": self.shape.frontend().map_or(GENERIC, |(_, name, _)| name),
            "id": self.device_id(), "chardev": self.chardev_id(), "bus": port_name(self.port),
        });
        let properties = match virtio_id {
            2 => json!({ "num-queues": queues, "queue-size": queue_size }),
            4 => json!({}),
            _ => {
                json!({ "virtio-id": virtio_id, "num_vqs": queues, "vq_size": queue_size, "config_size": config_size })
            }
        };
        if let (Value::Object(device), Value::Object(properties)) = (&mut device, properties) {
            device.extend(properties);
        }
        device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontend(virtio_id: u16, reconnect: Option<Reconnect>) -> Frontend {
        let shape = Shape { kind: "x".into(), virtio_id, queues: 4, queue_size: 256, config_size: 24 };
        Frontend { name: "x0".into(), socket: "/run/x0.sock".into(), shape, port: 3, reconnect }
    }

    #[test]
    fn a_disk_has_qemus_own_frontend_and_what_it_has_none_for_the_generic_one() {
        let disk = frontend(2, None).device();
        assert_eq!((disk["driver"].as_str(), &disk["num-queues"]), (Some("vhost-user-blk-pci"), &json!(4)));
        let other = frontend(35, None).device();
        assert_eq!(other["driver"], GENERIC);
        assert_eq!(
            (&other["virtio-id"], &other["num_vqs"], &other["bus"]),
            (&json!(35), &json!(4), &json!("port3"))
        );
    }

    #[test]
    fn each_qemu_is_told_to_connect_again_in_its_own_words() {
        let of = |major, minor| Reconnect::of(Version::new(major, minor, 0));
        let old = frontend(2, Some(of(7, 2)));
        assert_eq!(old.chardev("/run/x0.sock"), "socket,id=chr-x0,path=/run/x0.sock,reconnect=1");
        let new = frontend(2, Some(of(11, 1)));
        assert_eq!(new.chardev_add()["backend"]["data"]["reconnect-ms"], 100);
        assert!(!frontend(35, None).chardev("/x").contains("reconnect"));
    }
}
