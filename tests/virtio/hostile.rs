// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk that returns what it was not given: the driver gives up on it, and leaves it as the kernel wants it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use blockyard_abi::virtio_blk as abi;
use blockyard_lab::Device;
use blockyard_lab::vhost_user::Shape;
use blockyard_tests::{machine, run};
use vhost::vhost_user::Listener;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VhostUserDaemon, VringMutex, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_queue::QueueOwnedT;
use vm_memory::{Bytes, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

const QUEUE_SIZE: u16 = 128;
const SECTORS: u64 = 16 << 11;

/// A disk of zeroes. While it lies, it says of each read that it has done another request, which there is none of.
struct Liar {
    memory: GuestMemoryAtomic<GuestMemoryMmap>,
    lies: Arc<AtomicBool>,
}

impl Liar {
    /// Serves such a disk from now on, to whoever connects to the socket.
    fn serve(socket: &Path) -> Arc<AtomicBool> {
        let lies = Arc::<AtomicBool>::default();
        let (mut listener, told) = (Listener::new(socket, true).unwrap(), lies.clone());
        // It ends with the tests: it waits for connections for as long.
        std::thread::spawn(move || {
            loop {
                let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
                let liar = Arc::new(Self { memory: memory.clone(), lies: told.clone() });
                let mut daemon = VhostUserDaemon::new("liar".into(), liar, memory).unwrap();
                daemon.start(&mut listener).unwrap();
                // QEMU need not say goodbye.
                let _ = daemon.wait();
            }
        });
        lies
    }

    /// Does all that there is to do.
    fn answer(&self, ring: &VringMutex) -> io::Result<()> {
        let memory = self.memory.memory();
        let chains: Vec<_> =
            ring.get_mut().get_queue_mut().iter(memory.clone()).map_err(io::Error::other)?.collect();
        for chain in chains {
            let (mut head, mut kind, mut written) = (chain.head_index(), None, 0);
            for piece in chain {
                if piece.is_write_only() {
                    // The data, and a status that says "done".
                    let zeroes = vec![0; piece.len() as usize];
                    memory.write_slice(&zeroes, piece.addr()).map_err(io::Error::other)?;
                    written += piece.len();
                } else if kind.is_none() {
                    kind = Some(memory.read_obj::<u32>(piece.addr()).map_err(io::Error::other)?);
                }
            }
            if self.lies.load(Relaxed) && kind.map(u32::from_le) == Some(abi::T_IN) {
                // Without indirect descriptors the next one is never the first of a chain.
                head = (head + 1) % QUEUE_SIZE;
            }
            ring.add_used(head, written).map_err(io::Error::other)?;
        }
        ring.signal_used_queue()
    }
}

impl VhostUserBackend for Liar {
    type Bitmap = ();
    type Vring = VringMutex;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE.into()
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_F_VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG
    }

    fn set_event_idx(&self, _enabled: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let mut config = SECTORS.to_le_bytes().to_vec();
        config.resize((offset + size) as usize, 0);
        config.split_off(offset as usize)
    }

    fn update_memory(&self, _: GuestMemoryAtomic<GuestMemoryMmap>) -> io::Result<()> {
        // It is the same value that this one has, with a new map in it.
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::CLOEXEC | EventFlag::NONBLOCK).ok()
    }

    fn handle_event(&self, event: u16, _: EventSet, rings: &[VringMutex], _: usize) -> io::Result<()> {
        if event == 0 { self.answer(&rings[0]) } else { Ok(()) }
    }
}

#[test]
fn a_disk_that_breaks_while_it_starts_can_be_unbound_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("disk.sock");
    let lies = Liar::serve(&socket);
    // What the lab starts and ends is but a name for the socket.
    let link = format!("ln -s '{}' {{socket}} && exec sleep infinity", socket.display());
    let shape =
        Shape { kind: "liar".into(), virtio_id: 2, queues: 1, queue_size: QUEUE_SIZE, config_size: 60 };
    run(machine().device(Device::program(shape, "sh", ["-c", &link])), |guest| {
        let device = guest.device("liar0")?.sysfs()?;
        guest.check(&format!(
            "basename {device} >/tmp/device && udevadm settle && modprobe virtio_simblk &&
             cat /tmp/device >/sys/bus/virtio/drivers/virtio_blk/unbind",
        ))?;
        for _ in 0..2 {
            lies.store(true, Relaxed);
            // The kernel looks for partitions, and whatever it wants to read fails. The device is bound all the same.
            guest.check(
                "cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/bind && udevadm settle &&
                 ! dd if=/dev/vsim0 of=/dev/null bs=4k count=1 iflag=direct status=none 2>/tmp/err &&
                 grep 'Input/output error' /tmp/err",
            )?;
            lies.store(false, Relaxed);
            // The kernel warns of a device that its driver has left running, and the next driver would wait for it for ever.
            guest.check(
                "cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/unbind && udevadm settle &&
                 ! dmesg | grep 'WARNING: .*virtio'",
            )?;
            guest.check(
                "cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/bind && udevadm settle &&
                 dd if=/dev/vsim0 bs=4k count=1 iflag=direct status=none | cmp -n 4096 - /dev/zero &&
                 cat /tmp/device >/sys/bus/virtio/drivers/virtio_simblk/unbind",
            )?;
        }
        let told = guest.check("dmesg | grep -c 'the device is broken: its queues are stopped'")?;
        assert_eq!(told.trim(), "2", "once for each time that it broke");
        guest.check("rmmod virtio_simblk").map(drop)
    });
}
