// SPDX-License-Identifier: GPL-2.0

//! `chardev_ioctl`: a character device that keeps a message, steered by ioctls.
//!
//! It has a fixed major number, so that a node that was made once is right for ever. Its commands are
//! typed constants in `blockyard_abi::chardev_ioctl`, from which the program that uses them
//! (`chrctl message`) is built, too. The message changes as a whole: no program ever sees half of an old
//! and half of a new one.

#![deny(unsafe_code)]

use blockyard_abi::chardev_ioctl as abi;
use kernel::{
    fs::File,
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};
use kit::{chrdev, file::Operations, ioctl::Call};

module! {
    type: CharDevIoctl,
    name: "chardev_ioctl",
    authors: ["Blockyard developers"],
    description: "A character device that keeps a message, by ioctl",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// The device's name, the class's, and that of the major in `/proc/devices`.
const NAME: &CStr = c"chardev_ioctl";

/// What the module and all open files share.
#[pin_data]
struct Board {
    #[pin]
    message: Mutex<abi::Message>,
}

/// An open file.
struct Client {
    board: Arc<Board>,
}

#[vtable]
impl Operations for Client {
    type Shared = Board;

    fn open(board: Arc<Board>, _: &File) -> impl PinInit<Self, Error> {
        Ok(Self { board })
    }

    fn ioctl(&self, _: &File, call: Call) -> Result<isize> {
        call.on(abi::SET_MESSAGE, |message| self.set(&message))
            .on(abi::GET_MESSAGE, |()| Ok(*self.board.message.lock()))
            .on(abi::GET_BYTE, |nth| self.byte(nth))
            .answer()
    }
}

impl Client {
    /// Sets the message. It was copied from user space before, so the lock is never held while a
    /// page of the program's has to be fetched.
    fn set(&self, message: &abi::Message) -> Result {
        // What lies behind the message's end is not for others to see.
        let clean = abi::Message::new(message.get().ok_or(EMSGSIZE)?);
        *self.board.message.lock() = clean;
        Ok(())
    }

    fn byte(&self, mut nth: abi::NthByte) -> Result<abi::NthByte> {
        if nth.reserved != [0; 3] {
            return Err(EINVAL);
        }
        let message = self.board.message.lock();
        let bytes = message.get().ok_or(ERANGE)?;
        nth.byte = *bytes.get(nth.index as usize).ok_or(ERANGE)?;
        Ok(nth)
    }
}

/// The loaded module.
struct CharDevIoctl {
    _device: chrdev::Device<Client>,
}

impl kernel::Module for CharDevIoctl {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let board = Arc::pin_init(
            pin_init!(Board {
                message <- new_mutex!(abi::Message::EMPTY),
            }),
            GFP_KERNEL,
        )?;
        let number = chrdev::Number::fixed(abi::MAJOR, 0, NAME)
            .inspect_err(|_| pr_err!("major {} is taken: see /proc/devices\n", abi::MAJOR))?;
        let class = chrdev::Class::new(NAME)?;
        let device = chrdev::Device::add(&class, number, NAME, board)?;
        pr_info!("loaded: major {}\n", abi::MAJOR);
        Ok(Self { _device: device })
    }
}

impl Drop for CharDevIoctl {
    fn drop(&mut self) {
        pr_info!("unloading\n");
    }
}
