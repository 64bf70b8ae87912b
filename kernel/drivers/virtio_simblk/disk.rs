// SPDX-License-Identifier: GPL-2.0

//! A device, from its probe to its removal, and its disk.

use blockyard_abi::virtio_blk as abi;
use kernel::{
    cpu::nr_cpu_ids,
    fmt, new_mutex,
    prelude::*,
    str::BStr,
    sync::{Arc, ArcBorrow, Mutex},
};
use kit::{
    block::{Bio, Disk, DiskBuilder, Major, Operations},
    virtio::{CpuMap, Device, Driver, Ids, Queue, Setup},
};

use crate::{
    indices::{Index, Indices},
    limits,
    queue::{Requests, State},
};

/// Minors of a disk: itself, and its partitions.
const MINORS: u32 = 16;

/// What all devices share.
pub(crate) struct Shared {
    pub(crate) indices: Arc<Indices>,
    pub(crate) major: Major,
}

/// A device.
#[pin_data]
pub(crate) struct Vsim {
    queues: KVec<Arc<Queue<Requests>>>,
    /// Its disk, from start to removal.
    #[pin]
    disk: Mutex<Option<Disk<Unit>>>,
}

impl Driver for Vsim {
    type Shared = Shared;

    const NAME: &'static CStr = c"virtio_simblk";
    const IDS: Ids = crate::IDS.ids();
    const FEATURES: &'static [u32] = &[
        abi::F_SIZE_MAX,
        abi::F_SEG_MAX,
        abi::F_RO,
        abi::F_BLK_SIZE,
        abi::F_FLUSH,
        abi::F_TOPOLOGY,
        abi::F_CONFIG_WCE,
        abi::F_MQ,
        abi::F_DISCARD,
        abi::F_WRITE_ZEROES,
    ];
    const PER_CPU: bool = true;

    fn probe(setup: &mut Setup<'_, Self>) -> Result<impl PinInit<Self, Error>> {
        let count = limits::queues(setup)?.min(nr_cpu_ids() as usize);
        let pieces = usize::from(limits::segments(setup)?) + limits::OTHER_PIECES;
        let mut queues = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in 0..count {
            let name = fmt!("req.{index}");
            let queue = setup.queue(name, pieces, State::default(), Requests::new())?;
            queues.push(queue, GFP_KERNEL)?;
        }
        Ok(try_pin_init!(Self {
            queues,
            disk <- new_mutex!(None, "Vsim::disk"),
        }))
    }

    fn start(this: ArcBorrow<'_, Self>, device: &Device<'_, Self>) -> Result {
        let mut queues = KVec::with_capacity(this.queues.len(), GFP_KERNEL)?;
        for queue in &this.queues {
            Requests::fill(queue)?;
            queues.push(queue.clone(), GFP_KERNEL)?;
        }
        let shared = device.shared();
        let unit = Unit {
            map: device.cpu_map()?,
            queues,
            index: shared.indices.take()?,
        };
        // Before the disk appears, so that whoever hears of it finds its serial number.
        Requests::identify(unit.queue(0)?)?;
        let disk = unit.build(device, shared)?;
        *this.disk.lock() = Some(disk);
        Ok(())
    }

    fn remove(this: ArcBorrow<'_, Self>) {
        // Not with the lock held: it writes dirty pages.
        let disk = this.disk.lock().take();
        drop(disk);
    }

    fn config_changed(this: ArcBorrow<'_, Self>, device: &Device<'_, Self>) {
        match limits::capacity(device) {
            Ok(sectors) => {
                if let Some(disk) = &*this.disk.lock() {
                    disk.set_capacity(sectors);
                }
            }
            Err(error) => dev_err!(device.dev(), "cannot read its new capacity: {error:?}\n"),
        }
    }
}

/// What the block layer's calls are about. It is there until the last file on the disk is closed,
/// and so longer than the device.
pub(crate) struct Unit {
    queues: KVec<Arc<Queue<Requests>>>,
    map: CpuMap,
    index: Index,
}

impl Unit {
    fn queue(&self, index: usize) -> Result<&Queue<Requests>> {
        Ok(self.queues.get(index).ok_or(EINVAL)?)
    }

    /// Makes the disk.
    fn build(self, device: &Device<'_, Vsim>, shared: &Shared) -> Result<Disk<Self>> {
        // A request must fit into a queue that is empty.
        let shortest = self
            .queues
            .iter()
            .map(|queue| queue.size())
            .min()
            .unwrap_or(0);
        let room = shortest.saturating_sub(limits::OTHER_PIECES);
        let segments = limits::segments(device)?.min(room.min(u16::MAX.into()) as u16);
        if segments == 0 {
            dev_err!(device.dev(), "its queues are too short\n");
            return Err(EINVAL);
        }
        let (capacity, count) = (limits::capacity(device)?, self.queues.len());
        let number = self.index.number();
        let builder = DiskBuilder::new(capacity, limits::limits(device, segments)?)
            .minors(number * MINORS, MINORS)
            .read_only(device.features().has::<{ abi::F_RO }>());
        let unit = Arc::new(self, GFP_KERNEL)?;
        let name = fmt!("vsim{number}");
        let disk = builder.build_below(device.dev(), name, &shared.major, unit)?;
        dev_info!(
            device.dev(),
            "vsim{number}: {capacity} sectors, {count} queue(s)\n"
        );
        Ok(disk)
    }
}

#[vtable]
impl Operations for Unit {
    type Data = Arc<Self>;

    const KEEPS_DATA: bool = true;

    #[inline]
    fn submit_bio(unit: ArcBorrow<'_, Self>, bio: Bio) {
        match unit.queues.get(unit.map.here()) {
            Some(queue) => Requests::submit(queue, bio),
            // The map has none but queues that there are.
            None => drop(bio),
        }
    }

    fn serial(unit: ArcBorrow<'_, Self>, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = unit
            .queue(0)
            .ok()
            .and_then(Requests::id)
            .unwrap_or_default();
        let text = id.split(|byte| *byte == 0).next().unwrap_or_default();
        to.write_fmt(fmt!("{}", BStr::from_bytes(text)))
    }
}
