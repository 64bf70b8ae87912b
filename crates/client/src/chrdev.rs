// SPDX-License-Identifier: MIT OR Apache-2.0
//! The character devices among the examples: [`MessageDevice`] is `chardev_ioctl`, [`ByteDevice`] is `bytedev`, [`EchoDevice`]
//! the echo file of `virtio_hello`.
//!
//! The commands are those of [`blockyard_abi`], which the drivers are built from as well; here each is a method, and what
//! it refuses an error in words.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use blockyard_abi::virtio_hello_echo as echo;
use blockyard_abi::{bytedev, chardev_ioctl};
use rustix::io::Errno;

use crate::sys;

/// What any fallible function here returns.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of one of these drivers, or on the way to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device is not there: the module is not loaded.
    #[error("there is no device behind {}", path.display())]
    NotLoaded {
        /// The device that was looked for.
        path: PathBuf,
    },
    /// The device is another driver's.
    #[error("{} is no device of this driver", path.display())]
    Foreign {
        /// The device that was opened.
        path: PathBuf,
    },
    /// The message has more bytes than there is room for.
    #[error("a message has at most {} bytes, and this one {length}", chardev_ioctl::MAX_LENGTH)]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// The message has no byte with that index.
    #[error("the message has no byte {index}")]
    NoSuchByte {
        /// The index that was asked for.
        index: u32,
    },
    /// The operation needs a feature that the driver and the device have not agreed on.
    #[error("the device behind {} was not asked to do that: it is no feature that the driver has agreed on", path.display())]
    NotAgreed {
        /// The device that was asked.
        path: PathBuf,
    },
    /// Any other system call that failed.
    #[error("cannot {doing}")]
    System {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// An open device, with its path for what there is to say about it.
#[derive(Debug)]
struct Device {
    file: File,
    path: PathBuf,
}

impl Device {
    fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, OpenOptions::new().read(true))
    }

    fn open_as(path: &Path, options: &OpenOptions) -> Result<Self> {
        match options.open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned() }),
            // The node can be there without its driver: an old one, or one made by hand.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO | libc::ENODEV)) => {
                Err(Error::NotLoaded { path: path.to_owned() })
            }
            Err(source) => Err(Error::System { doing: format!("open {}", path.display()), source }),
        }
    }

    fn error(&self, doing: &str, errno: Errno) -> Error {
        match errno {
            Errno::NOTTY => Error::Foreign { path: self.path.clone() },
            errno => {
                Error::System { doing: format!("{doing} {}", self.path.display()), source: errno.into() }
            }
        }
    }
}

/// A device of `chardev_ioctl`, open: it keeps a message.
#[derive(Debug)]
pub struct MessageDevice(Device);

impl MessageDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] without the module.
    pub fn open(path: &Path) -> Result<Self> {
        Device::open(path).map(Self)
    }

    /// Sets the message.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn set(&self, message: &[u8]) -> Result<()> {
        let argument = chardev_ioctl::Message::new(message);
        match sys::plain(self.0.file.as_fd(), chardev_ioctl::SET_MESSAGE, argument) {
            Ok(()) => Ok(()),
            Err(Errno::MSGSIZE) => Err(Error::TooLong { length: message.len() }),
            Err(errno) => Err(self.0.error("set the message of", errno)),
        }
    }

    /// The message.
    pub fn get(&self) -> Result<Vec<u8>> {
        let told = sys::plain(self.0.file.as_fd(), chardev_ioctl::GET_MESSAGE, ());
        let message = told.map_err(|errno| self.0.error("get the message of", errno))?;
        Ok(message.get().unwrap_or(&message.bytes).to_vec())
    }

    /// One byte of the message, the first being 0.
    ///
    /// # Errors
    /// [`Error::NoSuchByte`].
    pub fn byte(&self, index: u32) -> Result<u8> {
        let argument = chardev_ioctl::NthByte { index, byte: 0, reserved: [0; 3] };
        match sys::plain(self.0.file.as_fd(), chardev_ioctl::GET_BYTE, argument) {
            Ok(nth) => Ok(nth.byte),
            Err(Errno::RANGE) => Err(Error::NoSuchByte { index }),
            Err(errno) => Err(self.0.error("get a byte of the message of", errno)),
        }
    }
}

/// A device of `bytedev`, open: it repeats a byte for ever.
#[derive(Debug)]
pub struct ByteDevice(Device);

impl ByteDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] without the module.
    pub fn open(path: &Path) -> Result<Self> {
        Device::open(path).map(Self)
    }

    /// Sets the byte; who waits for one gets it.
    pub fn set(&self, byte: u8) -> Result<()> {
        let done = sys::plain(self.0.file.as_fd(), bytedev::SET_BYTE, byte);
        done.map_err(|errno| self.0.error("set the byte of", errno))
    }

    /// The byte; `None` if there is none.
    pub fn get(&self) -> Result<Option<u8>> {
        match sys::plain(self.0.file.as_fd(), bytedev::GET_BYTE, ()) {
            Ok(byte) => Ok(Some(byte)),
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(self.0.error("get the byte of", errno)),
        }
    }

    /// Takes the byte away: who reads waits.
    pub fn clear(&self) -> Result<()> {
        let done = sys::plain(self.0.file.as_fd(), bytedev::CLEAR_BYTE, ());
        done.map_err(|errno| self.0.error("clear the byte of", errno))
    }
}

/// An echo file of `virtio_hello`, open: each message that is sent comes back, in the order in which they were sent.
///
/// `&self` is all that sending and receiving need, so one thread can do the one and another the other.
#[derive(Debug)]
pub struct EchoDevice(Device);

impl EchoDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] without the module, or without a device for it.
    pub fn open(path: &Path) -> Result<Self> {
        Device::open_as(path, OpenOptions::new().read(true).write(true)).map(Self)
    }

    /// Says how the messages travel that are sent from now on.
    ///
    /// # Errors
    /// [`Error::NotAgreed`].
    pub fn set_way(&self, way: echo::Way) -> Result<()> {
        match sys::plain(self.0.file.as_fd(), echo::SET_WAY, way) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => Err(Error::NotAgreed { path: self.0.path.clone() }),
            Err(errno) => Err(self.0.error("set the way of messages of", errno)),
        }
    }

    /// How they travel.
    pub fn way(&self) -> Result<echo::Way> {
        let told = sys::plain(self.0.file.as_fd(), echo::GET_WAY, ());
        told.map_err(|errno| self.0.error("get the way of messages of", errno))
    }

    /// Sends a message; waits while [`MOST_MESSAGES`](echo::MOST_MESSAGES) are on their way or were not received.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        // All of it or an error.
        let sent = (&self.0.file).write(message);
        sent.map(drop).map_err(|error| self.system("send a message to", error))
    }

    /// Receives the next reply, or the rest of it that the buffer before had no room for; waits for it. Gives its length.
    pub fn receive(&self, reply: &mut [u8]) -> Result<usize> {
        (&self.0.file).read(reply).map_err(|error| self.system("receive a reply from", error))
    }

    fn system(&self, doing: &str, source: io::Error) -> Error {
        Error::System { doing: format!("{doing} {}", self.0.path.display()), source }
    }
}
