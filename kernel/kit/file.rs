// SPDX-License-Identifier: GPL-2.0

//! The open files of a device: what a driver does when one is opened, read, written, asked.
//!
//! The `kernel` crate knows files of misc devices only, and of their operations neither `poll` nor
//! `llseek`. This is one way for all devices that are files, whatever registers them
//! ([`chrdev`](crate::chrdev), [`misc`](crate::misc)).
//!
//! # Writing one
//!
//! - A type of the driver's stands for an *open file*. It implements [`Operations`], whose methods
//!   take `&self`, for several tasks may use one file at the same time.
//! - What files share with each other and with the module is [`Operations::Shared`]. Each file gets
//!   it when it is opened, and may keep it: it lives for as long as the last file does, also if the
//!   device was removed under it.
//! - Releasing the file is dropping the value.
//! - A file that is open keeps the module: unloading it is refused.
//!
//! # Positions
//!
//! A file with a [`size`](Operations::size) can be sought in and be read at a position (`pread`). One
//! without is a stream: it has no position, and seeking in it is `ESPIPE`.
//!
//! | here | in C |
//! |---|---|
//! | [`Operations`] | `struct file_operations` |
//! | a value of it | `file->private_data` |
//! | [`Io`] | `struct kiocb` |
//! | [`Events`] | `__poll_t` |
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod table;

use core::ops::BitOr;

use kernel::{
    bindings, build_error,
    error::VTABLE_DEFAULT_ERROR,
    fs::{File, LocalFile},
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    sync::{poll::PollTable, Arc},
};

use crate::ioctl::Call;

pub(crate) use table::{Home, Table};

/// An open file of a device.
#[vtable]
pub trait Operations: Send + Sync + Sized + 'static {
    /// What all files share.
    type Shared: Send + Sync + 'static;

    /// Called when the device is opened; an error fails that. What it makes is dropped when the
    /// last user of the file has closed it.
    fn open(shared: Arc<Self::Shared>, file: &File) -> impl PinInit<Self, Error>;

    /// Reads at a position and moves it; gives how many bytes were read, 0 at the end. A count of
    /// more than has gone into `to` is cut to that. Without it reading is `EINVAL`.
    fn read(&self, _io: Io<'_>, _to: &mut IovIterDest<'_>) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes at a position and moves it; gives how many bytes were written. Without it writing is
    /// `EINVAL`.
    fn write(&self, _io: Io<'_>, _from: &mut IovIterSource<'_>) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// How many bytes there are, which is how far one can seek. Without it the file is a stream.
    fn size(&self) -> usize {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// An ioctl. Without it all of them are `ENOTTY`.
    fn ioctl(&self, _file: &File, _call: Call) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// What can be done without waiting. Registers with whatever is notified when that changes
    /// first, and looks then, or a change in between would be missed. Without it a file is always
    /// ready.
    fn poll(&self, _file: &File, _table: &PollTable<'_>) -> Events {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Has `read` fill an iterator, and cuts the count that it returns to what has gone into it.
///
/// The kernel's callers believe the count: `copy_splice_read()` walks as many pages of its list as
/// it says, beyond the list's end and over pages that nothing was written to. So a driver may
/// miscount, but not more than that.
pub(crate) fn fill(
    to: &mut IovIterDest<'_>,
    read: impl FnOnce(&mut IovIterDest<'_>) -> Result<usize>,
) -> Result<isize> {
    let room = to.len();
    let count = read(to)?;
    // No room is above `isize::MAX`.
    Ok(count.min(room.saturating_sub(to.len())) as isize)
}

/// One read or write.
pub struct Io<'a> {
    /// Where in the file; 0 for a stream.
    pub position: &'a mut i64,
    /// The file. Not a [`File`]: its position may be in use without a lock.
    pub file: &'a LocalFile,
}

impl Io<'_> {
    /// Whether it may wait: if not, and there is nothing to read, it is `EAGAIN`.
    ///
    /// (`IOCB_NOWAIT` alone does not get here: it takes a file that has declared it.)
    #[doc(alias = "O_NONBLOCK")]
    pub fn may_wait(&self) -> bool {
        self.file.flags() & bindings::O_NONBLOCK == 0
    }
}

/// What can be done with a file without waiting, to be joined by `|`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias = "__poll_t")]
pub struct Events(u32);

impl Events {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Reading.
    #[doc(alias = "EPOLLIN")]
    pub const READABLE: Self = Self(bindings::POLLIN | bindings::POLLRDNORM);
    /// Writing.
    #[doc(alias = "EPOLLOUT")]
    pub const WRITABLE: Self = Self(bindings::POLLOUT | bindings::POLLWRNORM);
    /// Nothing more: the other side is gone.
    #[doc(alias = "EPOLLHUP")]
    pub const HANG_UP: Self = Self(bindings::POLLHUP);
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
