// SPDX-License-Identifier: GPL-2.0

//! The C side of a device's files: the table of functions.

use core::marker::PhantomData;

use kernel::{
    bindings,
    fs::{File, LocalFile},
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    sync::{poll::PollTable, Arc},
    types::ForeignOwnable,
};

use super::{fill, Io, Operations};
use crate::compat;
use crate::ioctl::Call;

/// How a file that is being opened leads to what it shares.
pub(crate) trait Home<T: Operations> {
    /// What a file shares; an error if the device is not there any more.
    ///
    /// # Safety
    ///
    /// Called from the `open` of a file with the table `Table<T, Self>`, for that inode and file,
    /// before anything else was done to the file.
    unsafe fn shared(
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> Result<Arc<T::Shared>>;
}

/// The table of functions of files of the type `T` that were opened at `H`.
///
/// # Invariants
///
/// From a successful `open` to its `release`, the private data of a file with this table are those
/// that `Pin<KBox<T>>` has as a foreign pointer.
pub(crate) struct Table<T, H>(PhantomData<(T, H)>);

impl<T: Operations, H: Home<T>> Table<T, H> {
    pub(crate) const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: compat::this_module(),
        open: Some(Self::open),
        release: Some(Self::release),
        read_iter: if T::HAS_READ { Some(Self::read) } else { None },
        write_iter: if T::HAS_WRITE {
            Some(Self::write)
        } else {
            None
        },
        llseek: if T::HAS_SIZE {
            Some(Self::llseek)
        } else {
            None
        },
        unlocked_ioctl: if T::HAS_IOCTL {
            Some(Self::ioctl)
        } else {
            None
        },
        // Arguments have one layout for 32 and 64 bits.
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: if T::HAS_IOCTL {
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        poll: if T::HAS_POLL { Some(Self::poll) } else { None },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, for a file with this table that is being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the function's contract, and as the first thing done to the file.
        let shared = match unsafe { H::shared(inode, file) } {
            Ok(shared) => shared,
            Err(error) => return error.to_errno(),
        };
        if !T::HAS_SIZE {
            // It cannot fail.
            // SAFETY: A file that is being opened; nobody else uses its mode yet.
            unsafe { bindings::stream_open(inode, file) };
        }
        // SAFETY: The file is alive during the call, and nobody has it in a table of descriptors
        // yet, so there is no `fdget_pos()` of it.
        let open = T::open(shared, unsafe { File::from_raw_file(file) });
        match KBox::try_pin_init(open, GFP_KERNEL) {
            Ok(this) => {
                // INVARIANT: These are they.
                // SAFETY: The private data of a file that is being opened are `open`'s.
                unsafe { (*file).private_data = this.into_foreign() };
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, at most once, on a file that [`Self::open`] opened, after all else.
    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the type invariant, and nobody borrows them any more or will.
        drop(unsafe { Pin::<KBox<T>>::from_foreign((*file).private_data) });
        0
    }

    /// The driver's side of a file.
    ///
    /// # Safety
    ///
    /// [`Self::open`] has opened the file, and `release` is not called during `'a`.
    unsafe fn this<'a>(file: *mut bindings::file) -> &'a T {
        // SAFETY: By the type invariant and the function's contract.
        unsafe { Pin::<KBox<T>>::borrow((*file).private_data) }.get_ref()
    }

    /// # Safety
    ///
    /// The `kiocb` is valid during `'a` and not used otherwise, and of a file that stays open.
    unsafe fn io<'a>(iocb: *mut bindings::kiocb) -> Io<'a> {
        Io {
            // SAFETY: By the function's contract. If there is an `fdget_pos()` of the file without a
            // lock, it is that of the system call that this task is in.
            file: unsafe { LocalFile::from_raw_file((*iocb).ki_filp) },
            // SAFETY: By the function's contract.
            position: unsafe { &mut (*iocb).ki_pos },
        }
    }

    /// # Safety
    ///
    /// Called by the VFS on a file that [`Self::open`] opened, with an iterator to write to.
    unsafe extern "C" fn read(iocb: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> isize {
        // SAFETY: By the function's contract; the VFS keeps the file open during the call.
        let (this, io) = unsafe { (Self::this((*iocb).ki_filp), Self::io(iocb)) };
        // SAFETY: By the function's contract.
        let to = unsafe { IovIterDest::from_raw(to) };
        match fill(to, |to| this.read(io, to)) {
            Ok(count) => count,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS on a file that [`Self::open`] opened, with an iterator to read from.
    unsafe extern "C" fn write(iocb: *mut bindings::kiocb, from: *mut bindings::iov_iter) -> isize {
        // SAFETY: By the function's contract; the VFS keeps the file open during the call.
        let (this, io) = unsafe { (Self::this((*iocb).ki_filp), Self::io(iocb)) };
        // SAFETY: By the function's contract.
        let from = unsafe { IovIterSource::from_raw(from) };
        match this.write(io, from) {
            Ok(count) => count as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS on a file that [`Self::open`] opened, with its position locked.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: By the function's contract; the VFS keeps the file open during the call.
        let size = unsafe { Self::this(file) }.size();
        // SAFETY: By the function's contract. (No size is above `isize::MAX`, an `i64`.)
        unsafe { bindings::fixed_size_llseek(file, offset, whence, size as bindings::loff_t) }
    }

    /// # Safety
    ///
    /// Called by the VFS on a file that [`Self::open`] opened.
    unsafe extern "C" fn ioctl(
        file: *mut bindings::file,
        number: c_uint,
        argument: c_ulong,
    ) -> c_long {
        // SAFETY: By the function's contract; the VFS keeps the file open during the call, and an
        // ioctl is not within an `fdget_pos()`.
        let (this, file) = unsafe { (Self::this(file), File::from_raw_file(file)) };
        match this.ioctl(file, Call::new(number, argument)) {
            Ok(answer) => answer as c_long,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS on a file that [`Self::open`] opened; the table is null or valid.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: By the function's contract; the VFS keeps the file open during the call, and a
        // poll is not within an `fdget_pos()`.
        let (this, file) = unsafe { (Self::this(file), File::from_raw_file(file)) };
        // SAFETY: By the function's contract.
        let table = unsafe { PollTable::from_raw(table) };
        this.poll(file, &table).0
    }
}
