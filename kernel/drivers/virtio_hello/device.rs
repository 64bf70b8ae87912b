// SPDX-License-Identifier: GPL-2.0

//! A device, from its probe to its removal.

use core::mem::offset_of;

use blockyard_abi::virtio_hello as abi;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, ArcBorrow, Mutex},
};
use kit::virtio::{Device, Driver, Field, Ids, Queue, Setup};

use crate::{
    echo::{Echo, Inboxes},
    events::Notice,
    facts::{Facts, Shown},
    inflow::{self, Inflow},
    message,
    nodes::{Names, Nodes},
    outflow::{self, Outflow},
    stream::{Piece, Streams},
};

/// How many events the device can leave with us before it has to keep them.
const EVENTS: usize = 16;
/// How many pieces of a stream can be on their way in each direction.
const PIECES: usize = 16;

const VERSION: Field<u32> = Field::at(offset_of!(abi::Config, version) as u32);
const MAX_MESSAGE: Field<u32> = Field::at(offset_of!(abi::Config, max_message) as u32);
const CAPACITY: Field<u64> = Field::at(offset_of!(abi::Config, capacity) as u32);
const FEATURES: Field<u64> = Field::at(offset_of!(abi::Config, features) as u32);

/// A device.
#[pin_data]
pub(crate) struct Hello {
    echo: Arc<Queue<Echo>>,
    stream_in: Arc<Queue<Inflow<Piece>>>,
    stream_out: Arc<Queue<Outflow>>,
    events: Arc<Queue<Inflow<Notice>>>,
    facts: Facts,
    /// What user space sees of it, from start to removal.
    #[pin]
    seen: Mutex<Option<Seen>>,
}

/// What user space sees. Dropping it takes it away; files that are open stay.
struct Seen {
    _nodes: Nodes,
    _facts: Shown,
}

impl Driver for Hello {
    type Shared = Names;

    const NAME: &'static CStr = c"virtio_hello";
    const IDS: Ids = crate::IDS.ids();
    const FEATURES: &'static [u32] = &[abi::F_CHECKSUM, abi::F_REVERSE, abi::F_EVENTS];

    fn wanted(offered: u64) -> u64 {
        offered & !crate::refused()
    }

    fn probe(setup: &mut Setup<'_, Self>) -> Result<impl PinInit<Self, Error>> {
        let facts = facts(setup)?;
        // In the order of their numbers, `abi::QUEUE_ECHO` and on. There is an event queue also if
        // nothing will come of it.
        let echo = setup.queue(
            fmt!("echo"),
            message::MOST_PIECES,
            Inboxes::new(),
            Echo::new(),
        )?;
        let stream_in = inflow::queue(setup, fmt!("stream-in"), PIECES)?;
        let stream_out = outflow::queue(setup, fmt!("stream-out"), PIECES)?;
        let events = inflow::queue(setup, fmt!("events"), EVENTS)?;
        Ok(try_pin_init!(Self {
            echo,
            stream_in,
            stream_out,
            events,
            facts,
            seen <- new_mutex!(None, "Hello::seen"),
        }))
    }

    fn start(this: ArcBorrow<'_, Self>, device: &Device<'_, Self>) -> Result {
        let has_events = device.features().has::<{ abi::F_EVENTS }>();
        Inflow::fill(&this.stream_in, PIECES)?;
        Outflow::fill(&this.stream_out, PIECES)?;
        if has_events {
            Inflow::fill(&this.events, EVENTS)?;
        }
        let seen = this.show(device, has_events)?;
        *this.seen.lock() = Some(seen);
        Ok(())
    }

    fn remove(this: ArcBorrow<'_, Self>) {
        // Not with the lock held: it waits for those who read an attribute.
        let seen = this.seen.lock().take();
        drop(seen);
    }
}

impl Hello {
    /// Lets user space see the device.
    fn show(&self, device: &Device<'_, Self>, has_events: bool) -> Result<Seen> {
        // Before the files, so that whoever hears of these finds it.
        let facts = self.facts.show(device.dev())?;
        let echo = crate::echo_file::Shared {
            queue: self.echo.clone(),
            facts: self.facts,
        };
        let streams = Streams {
            input: self.stream_in.clone(),
            output: self.stream_out.clone(),
        };
        let events = has_events.then(|| self.events.clone());
        let nodes = Nodes::add(device.dev(), device.shared(), echo, streams, events)?;
        dev_info!(
            device.dev(),
            "{}: messages of up to {} bytes, features {}\n",
            nodes.name(),
            self.facts.max_message,
            self.facts.agreed
        );
        Ok(Seen {
            _nodes: nodes,
            _facts: facts,
        })
    }
}

/// Reads the configuration, and judges it.
fn facts(setup: &Setup<'_, Hello>) -> Result<Facts> {
    let (version, max_message, capacity, offered) = setup.config().snapshot(|config| {
        Ok((
            config.read(VERSION)?,
            config.read(MAX_MESSAGE)?,
            config.read(CAPACITY)?,
            config.read(FEATURES)?,
        ))
    })?;
    if version != abi::VERSION {
        dev_err!(
            setup.dev(),
            "the device is of version {version}, and this driver knows version {}\n",
            abi::VERSION
        );
        return Err(EINVAL);
    }
    if max_message == 0 {
        dev_err!(setup.dev(), "the device takes no message of any length\n");
        return Err(EINVAL);
    }
    Ok(Facts {
        version,
        // What the device would take is no reason to let a program have so much of the kernel's
        // memory.
        max_message: (max_message as usize).min(message::LONGEST),
        capacity,
        offered: offered.into(),
        agreed: setup.features().mask().into(),
    })
}
