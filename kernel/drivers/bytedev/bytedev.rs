// SPDX-License-Identifier: GPL-2.0

//! `bytedev`: a character device that repeats one byte for ever.
//!
//! Which byte is set by ioctl (`blockyard_abi::bytedev`; the program is `chrctl byte`). Until one is
//! set there is nothing to read, and that is what this example is about: a read waits then, until a
//! byte is set or a signal comes; with `O_NONBLOCK` it is `EAGAIN`; and `poll` tells when it is worth
//! trying. A read of any length is served, but a signal ends also a long one.

#![deny(unsafe_code)]

use blockyard_abi::bytedev as abi;
use kernel::{
    current,
    fs::File,
    iov::IovIterDest,
    new_mutex, new_poll_condvar,
    prelude::*,
    sync::{
        poll::{PollCondVar, PollTable},
        Arc, Mutex,
    },
};
use kit::{
    chrdev,
    errno::ENODATA,
    file::{Events, Io, Operations},
    ioctl::Call,
};

module! {
    type: ByteDev,
    name: "bytedev",
    authors: ["Blockyard developers"],
    description: "A character device that repeats a byte for ever",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// The device's name, the class's, and that of the major in `/proc/devices`.
const NAME: &CStr = c"bytedev";

/// What the module and all open files share.
#[pin_data]
struct Source {
    #[pin]
    byte: Mutex<Option<u8>>,
    /// Notified when a byte is set.
    #[pin]
    set: PollCondVar,
}

/// An open file.
struct Reader {
    source: Arc<Source>,
}

#[vtable]
impl Operations for Reader {
    type Shared = Source;

    fn open(source: Arc<Source>, _: &File) -> impl PinInit<Self, Error> {
        Ok(Self { source })
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        fill(to, self.source.get(io.may_wait())?)
    }

    fn ioctl(&self, _: &File, call: Call) -> Result<isize> {
        call.on(abi::SET_BYTE, |byte| self.source.change(Some(byte)))
            .on(abi::GET_BYTE, |()| self.source.byte.lock().ok_or(ENODATA))
            .on(abi::CLEAR_BYTE, |()| self.source.change(None))
            .answer()
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> Events {
        table.register_wait(file, &self.source.set);
        match *self.source.byte.lock() {
            Some(_) => Events::READABLE,
            None => Events::NONE,
        }
    }
}

impl Source {
    /// The byte. If there is none yet: waits for one, if it may.
    fn get(&self, may_wait: bool) -> Result<u8> {
        let mut byte = self.byte.lock();
        loop {
            if let Some(byte) = *byte {
                return Ok(byte);
            }
            if !may_wait {
                return Err(EAGAIN);
            }
            // Whether the call begins anew after the signal or is `EINTR` is for the program to
            // choose (`SA_RESTART`).
            if self.set.wait_interruptible(&mut byte) {
                return Err(ERESTARTSYS);
            }
        }
    }

    fn change(&self, to: Option<u8>) -> Result {
        *self.byte.lock() = to;
        self.set.notify_all();
        Ok(())
    }
}

/// Fills the reader's memory with a byte; gives how much was filled.
fn fill(to: &mut IovIterDest<'_>, byte: u8) -> Result<usize> {
    let piece = [byte; 512];
    let mut filled = 0;
    while !to.is_empty() {
        let wanted = piece.len().min(to.len());
        let copied = to.copy_to_iter(&piece[..wanted]);
        filled += copied;
        // A fault ends a read early, and so does a signal; what was read before counts.
        if copied < wanted || current!().signal_pending() {
            break;
        }
    }
    match filled {
        0 => Err(EFAULT),
        filled => Ok(filled),
    }
}

/// The loaded module.
struct ByteDev {
    _device: chrdev::Device<Reader>,
}

impl kernel::Module for ByteDev {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let source = Arc::pin_init(
            pin_init!(Source {
                byte <- new_mutex!(None),
                set <- new_poll_condvar!(),
            }),
            GFP_KERNEL,
        )?;
        let number = chrdev::Number::dynamic(NAME)?;
        let class = chrdev::Class::new(NAME)?;
        let device = chrdev::Device::add(&class, number, NAME, source)?;
        pr_info!("loaded: major {}\n", device.number().major());
        Ok(Self { _device: device })
    }
}

impl Drop for ByteDev {
    fn drop(&mut self) {
        pr_info!("unloading\n");
    }
}
