// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control device: disks are made, listed and removed through it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use blockyard_abi::simblk as abi;
use rustix::io::Errno;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::sys;

/// The control device, open.
#[derive(Debug)]
pub struct Control(File);

/// What a new disk shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDisk {
    /// Bytes; a multiple of [`abi::PAGE_SIZE`].
    pub size: u64,
    /// Bytes of a logical block: a power of two from 512 to 4096.
    pub block_size: u32,
    /// The most memory that its data may take, in bytes; 0: no cap.
    pub memory_cap: u64,
}

impl Default for NewDisk {
    fn default() -> Self {
        Self { size: abi::DEFAULT_SIZE, block_size: abi::MIN_BLOCK_SIZE, memory_cap: 0 }
    }
}

/// What the driver tells of a disk. Counters start when the disk is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Which disk.
    pub index: u32,
    /// Its name: `simblk0`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a logical block.
    pub block_size: u32,
    /// The most memory that its data may take, in bytes; 0: no cap.
    pub memory_cap: u64,
    /// Pages of [`abi::PAGE_SIZE`] bytes that its data takes now.
    pub pages_held: u64,
    /// How often the disk and its partitions are open now.
    pub open_count: u32,
    /// Whether a mapping program is registered.
    pub mapper: bool,
    /// How long a mapping program may take over one answer, in milliseconds.
    pub timeout_ms: u32,
    /// Requests that wait for a mapping program now.
    pub held: u32,
    /// Requests that read.
    pub reads: u64,
    /// Requests that wrote.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Discards.
    pub discards: u64,
    /// Requests that wrote zeroes.
    pub zeroes: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Requests that ended with an error.
    pub errors: u64,
}

impl Info {
    /// Pages of the disk: as many logical as physical ones.
    pub fn pages(&self) -> u64 {
        self.size / abi::PAGE_SIZE
    }
}

impl From<abi::Info> for Info {
    fn from(raw: abi::Info) -> Self {
        Self {
            index: raw.index,
            name: format!("{}{}", abi::NAME, raw.index),
            size: raw.size,
            block_size: raw.block_size,
            memory_cap: raw.memory_cap,
            pages_held: raw.pages_held,
            open_count: raw.open_count,
            mapper: raw.flags & abi::INFO_MAPPER != 0,
            timeout_ms: raw.timeout_ms,
            held: raw.held,
            reads: raw.reads,
            writes: raw.writes,
            flushes: raw.flushes,
            discards: raw.discards,
            zeroes: raw.zeroes,
            bytes_read: raw.bytes_read,
            bytes_written: raw.bytes_written,
            errors: raw.errors,
        }
    }
}

impl Control {
    /// Opens the control device.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] without the module, [`Error::Permission`] without root.
    pub fn open() -> Result<Self> {
        let path = Path::new(abi::CONTROL_PATH);
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.map(Self).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotLoaded { path: path.to_owned() },
            // The node can outlive its module for a moment.
            _ if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) => {
                Error::NotLoaded { path: path.to_owned() }
            }
            io::ErrorKind::PermissionDenied => {
                Error::Permission { doing: format!("open {}", path.display()) }
            }
            _ => Error::System { doing: format!("open {}", path.display()), source: error },
        })
    }

    /// Makes a disk; gives its index.
    ///
    /// # Errors
    /// [`Error::Refused`] for values that the driver does not take, [`Error::TooMany`], [`Error::Permission`].
    pub fn create(&self, disk: &NewDisk) -> Result<u32> {
        let NewDisk { size, block_size, memory_cap } = *disk;
        let create = abi::Create { size, memory_cap, block_size, flags: 0, index: 0, reserved: 0 };
        let doing = format!("make a disk of {size} bytes with blocks of {block_size}");
        match sys::plain(self.0.as_fd(), abi::CREATE, create) {
            Ok(create) => Ok(create.index),
            Err(Errno::NOSPC) => Err(Error::TooMany),
            Err(Errno::INVAL) => Err(Error::Refused { doing, why: values() }),
            Err(errno) => Err(other(doing, errno)),
        }
    }

    /// Takes a disk away; by force also while it is open.
    ///
    /// # Errors
    /// [`Error::NoSuchDisk`], [`Error::InUse`] without force, [`Error::Permission`].
    pub fn remove(&self, index: u32, force: bool) -> Result<()> {
        let remove = abi::Remove { index, flags: if force { abi::REMOVE_FORCE } else { 0 } };
        match sys::plain(self.0.as_fd(), abi::REMOVE, remove) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => Err(Error::InUse { index }),
            Err(errno) => Err(of_disk(index, format!("remove simblk{index}"), errno)),
        }
    }

    /// Tells about one disk.
    ///
    /// # Errors
    /// [`Error::NoSuchDisk`].
    pub fn info(&self, index: u32) -> Result<Info> {
        let asked = abi::Info { index, ..abi::Info::default() };
        match sys::plain(self.0.as_fd(), abi::INFO, asked) {
            Ok(info) => Ok(info.into()),
            Err(errno) => Err(of_disk(index, format!("ask about simblk{index}"), errno)),
        }
    }

    /// Tells about all disks, by index. A disk that comes or goes meanwhile may or may not be among them.
    pub fn list(&self) -> Result<Vec<Info>> {
        let mut disks = Vec::new();
        let mut next = 0;
        while let Some(info) = self.first_from(next)? {
            next = info.index + 1;
            disks.push(info);
        }
        Ok(disks)
    }

    fn first_from(&self, index: u32) -> Result<Option<Info>> {
        let asked = abi::Info { index, ..abi::Info::default() };
        match sys::plain(self.0.as_fd(), abi::LIST, asked) {
            Ok(info) => Ok(Some(info.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(other("list the disks", errno)),
        }
    }

    /// Sets how long a disk waits for the answer of its mapping program, in milliseconds.
    ///
    /// # Errors
    /// [`Error::Refused`] for 0 or more than [`abi::MAX_TIMEOUT_MS`], [`Error::NoSuchDisk`], [`Error::Permission`].
    pub fn set_timeout(&self, index: u32, timeout_ms: u32) -> Result<()> {
        let doing = format!("set the time for an answer to {timeout_ms} ms");
        match sys::plain(self.0.as_fd(), abi::SET_TIMEOUT, abi::SetTimeout { index, timeout_ms }) {
            Ok(()) => Ok(()),
            Err(Errno::INVAL) => {
                Err(Error::Refused { doing, why: format!("it takes 1 to {}", abi::MAX_TIMEOUT_MS) })
            }
            Err(errno) => Err(of_disk(index, doing, errno)),
        }
    }

    pub(crate) fn into_file(self) -> File {
        self.0
    }
}

/// Tells about the disk whose node this is, by an ioctl on the disk itself.
///
/// # Errors
/// [`Error::Refused`] if it is no disk of `simblk`.
pub fn disk_info(path: &Path) -> Result<Info> {
    let doing = format!("ask {} about itself", path.display());
    let file = File::open(path).map_err(|source| Error::System { doing: doing.clone(), source })?;
    match sys::plain(file.as_fd(), abi::DISK_INFO, ()) {
        Ok(info) => Ok(info.into()),
        Err(Errno::NOTTY | Errno::INVAL) => {
            Err(Error::Refused { doing, why: "it is no disk of simblk".into() })
        }
        Err(errno) => Err(other(doing, errno)),
    }
}

/// Which values a new disk may have.
fn values() -> String {
    format!(
        "a size is a multiple of {} from {} to {}, a block size a power of two from {} to {}",
        abi::PAGE_SIZE,
        abi::MIN_SIZE,
        abi::MAX_SIZE,
        abi::MIN_BLOCK_SIZE,
        abi::MAX_BLOCK_SIZE
    )
}

/// The error of a call on one disk.
pub(crate) fn of_disk(index: u32, doing: impl Into<String>, errno: Errno) -> Error {
    if errno == Errno::NODEV { Error::NoSuchDisk { index } } else { other(doing, errno) }
}

fn other(doing: impl Into<String>, errno: Errno) -> Error {
    match errno {
        Errno::PERM | Errno::ACCESS => Error::Permission { doing: doing.into() },
        _ => Error::system(doing, errno),
    }
}
