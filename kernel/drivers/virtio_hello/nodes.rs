// SPDX-License-Identifier: GPL-2.0

//! The files of a device in `/dev`: their numbers and names.

use kernel::{
    device, new_mutex,
    prelude::*,
    str::CString,
    sync::{Arc, Mutex},
};
use kit::{
    chrdev::{Class, Device, Number},
    file::Operations,
    virtio::Queue,
};

use crate::{
    echo_file::{EchoFile, Shared},
    events::{EventsFile, Notice},
    inflow::Inflow,
    stream::{StreamFile, Streams},
};

/// What all devices share: the class of their files, and which numbers are in their names.
pub(crate) struct Names {
    class: Arc<Class>,
    taken: Arc<Taken>,
}

/// Which numbers are taken, as a mask.
#[pin_data]
struct Taken {
    #[pin]
    mask: Mutex<u64>,
}

impl Names {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            class: Class::new(c"virtio_hello")?,
            taken: Arc::pin_init(
                pin_init!(Taken { mask <- new_mutex!(0, "Taken::mask") }),
                GFP_KERNEL,
            )?,
        })
    }

    /// Takes the lowest number that is free. `ENOSPC` if there are 64 devices.
    fn take(&self) -> Result<Index> {
        let mut mask = self.taken.mask.lock();
        let number = mask.trailing_ones();
        *mask |= 1_u64.checked_shl(number).ok_or(ENOSPC)?;
        Ok(Index {
            number,
            taken: self.taken.clone(),
        })
    }
}

/// A number that is taken until this is dropped.
struct Index {
    number: u32,
    taken: Arc<Taken>,
}

impl Drop for Index {
    fn drop(&mut self) {
        *self.taken.mask.lock() &= !(1 << self.number);
    }
}

/// The files of a device, in `/dev` until this is dropped.
///
/// The number goes last: until then no other device may have files of these names.
pub(crate) struct Nodes {
    _echo: Device<EchoFile>,
    _stream: Device<StreamFile>,
    _events: Option<Device<EventsFile>>,
    name: CString,
    _index: Index,
}

impl Nodes {
    /// Makes the files; that for events only if there are some.
    pub(crate) fn add(
        parent: &device::Device<device::Bound>,
        names: &Names,
        echo: Shared,
        streams: Streams,
        events: Option<Arc<Queue<Inflow<Notice>>>>,
    ) -> Result<Self> {
        let index = names.take()?;
        let name = CString::try_from_fmt(fmt!("virtio_hello{}", index.number))?;
        let place = Place {
            parent,
            class: &names.class,
            name: &name,
        };
        let events = match events {
            Some(queue) => Some(place.add("events", queue)?),
            None => None,
        };
        let stream = place.add("stream", Arc::new(streams, GFP_KERNEL)?)?;
        Ok(Self {
            _echo: place.add("echo", Arc::new(echo, GFP_KERNEL)?)?,
            _stream: stream,
            _events: events,
            name,
            _index: index,
        })
    }

    /// What their names begin with.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }
}

/// Where the files of a device go.
struct Place<'a> {
    parent: &'a device::Device<device::Bound>,
    class: &'a Arc<Class>,
    name: &'a CStr,
}

impl Place<'_> {
    fn add<T: Operations>(&self, what: &str, shared: Arc<T::Shared>) -> Result<Device<T>> {
        let name = CString::try_from_fmt(fmt!("{}-{what}", self.name))?;
        let number = Number::dynamic(&name)?;
        Device::add_below(self.parent, self.class, number, &name, shared)
    }
}
