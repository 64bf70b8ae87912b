// SPDX-License-Identifier: GPL-2.0

//! `chardev`: the smallest character device that does something.
//!
//! It has a major number that the kernel picks, a class of its own, and a node that appears when the
//! module is loaded; udev gets an event, so a rule can run a program then. One program at a time may
//! have it open; the next gets `EBUSY`. Who reads it learns how often it has been opened so far, and
//! then comes the end. Writing is `EINVAL`, simply because there is no function for it.

#![deny(unsafe_code)]

use kernel::{
    fs::File,
    iov::IovIterDest,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{Arc, Mutex},
};
use kit::{
    chrdev,
    file::{Io, Operations},
};

module! {
    type: CharDev,
    name: "chardev",
    authors: ["Blockyard developers"],
    description: "A character device that tells how often it was opened",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// The device's name, the class's, and that of the major in `/proc/devices`.
const NAME: &CStr = c"chardev";

/// What the module and all openers share.
#[pin_data]
struct Door {
    #[pin]
    state: Mutex<State>,
}

/// Under the lock of [`Door::state`].
struct State {
    /// Whether somebody is in.
    occupied: bool,
    /// How often somebody came in.
    opened: u64,
}

/// The right to be in, given back when dropped.
struct Turn(Arc<Door>);

impl Turn {
    /// Comes in. Tells how often somebody did, this time included.
    fn take(door: Arc<Door>) -> Result<(Self, u64)> {
        let mut state = door.state.lock();
        if state.occupied {
            return Err(EBUSY);
        }
        state.occupied = true;
        state.opened += 1;
        let opened = state.opened;
        drop(state);
        Ok((Self(door), opened))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state.lock().occupied = false;
    }
}

/// An open file: one read session.
struct Session {
    /// What it reads. It stays the same from the first byte to the last.
    text: CString,
    _turn: Turn,
}

impl Session {
    fn begin(door: Arc<Door>) -> Result<Self> {
        let (turn, opened) = Turn::take(door)?;
        let times = if opened == 1 { "time" } else { "times" };
        Ok(Self {
            text: CString::try_from_fmt(fmt!("opened {opened} {times}\n"))?,
            _turn: turn,
        })
    }
}

#[vtable]
impl Operations for Session {
    type Shared = Door;

    fn open(door: Arc<Door>, _: &File) -> impl PinInit<Self, Error> {
        Self::begin(door)
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        to.simple_read_from_buffer(io.position, self.text.to_bytes())
    }

    fn size(&self) -> usize {
        self.text.to_bytes().len()
    }
}

/// The loaded module.
struct CharDev {
    _device: chrdev::Device<Session>,
}

impl kernel::Module for CharDev {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let door = Arc::pin_init(
            pin_init!(Door {
                state <- new_mutex!(State { occupied: false, opened: 0 }),
            }),
            GFP_KERNEL,
        )?;
        let number = chrdev::Number::dynamic(NAME)?;
        let class = chrdev::Class::new(NAME)?;
        let device = chrdev::Device::add(&class, number, NAME, door)?;
        pr_info!("loaded: major {}\n", device.number().major());
        Ok(Self { _device: device })
    }
}

impl Drop for CharDev {
    fn drop(&mut self) {
        pr_info!("unloading\n");
    }
}
