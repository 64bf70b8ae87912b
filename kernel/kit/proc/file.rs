// SPDX-License-Identifier: GPL-2.0

//! Entries of bytes at offsets.

use core::marker::PhantomData;

use kernel::{
    bindings,
    error::{from_result, VTABLE_DEFAULT_ERROR},
    fs::File,
    iov::IovIterDest,
    prelude::*,
    sync::Arc,
    types::ForeignOwnable,
    uaccess::{UserPtr, UserSlice, UserSliceReader},
};
use kit_bindings::proc_ops;

use super::{data_of, Dir, Entry};
use crate::file::fill;

/// An entry of bytes; `Self` is what its open files share.
#[vtable]
pub trait Operations: Sized + Send + Sync + 'static {
    /// What each open file has for itself; `()` for nothing.
    type Opened: Send + Sync + 'static;

    /// Called when the entry is opened, with the flags of `open()` in the file; dropped when it is
    /// closed or removed.
    fn open(&self, file: &File) -> impl PinInit<Self::Opened, Error>;

    /// How many bytes there are, which is where `SEEK_END` counts from. Without it the entry has no
    /// positions to go to.
    fn size(&self, _opened: Pin<&Self::Opened>) -> usize {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Reads at a position, and moves it. Returns how many bytes; none is the end. A count of more
    /// than has gone into `to` is cut to that.
    fn read(
        &self,
        _opened: Pin<&Self::Opened>,
        _position: &mut i64,
        _to: &mut IovIterDest<'_>,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes at a position, and moves it. Returns how many bytes were taken.
    ///
    /// The position is that of the file also with `O_APPEND`, which is for the implementation to
    /// honour.
    fn write(
        &self,
        _file: &File,
        _opened: Pin<&Self::Opened>,
        _position: &mut i64,
        _from: &mut UserSliceReader,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

impl<T: Operations> Entry<T> {
    /// Makes an entry of bytes, in a folder or at the top of /proc.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that cannot be a name or a mode, `EEXIST` if the name is taken.
    #[doc(alias = "proc_create_data")]
    pub fn file(
        dir: Option<&Arc<Dir>>,
        name: &CStr,
        mode: u16,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        // SAFETY: The functions of `Table<T>` do.
        unsafe { Self::new(dir, name, mode, data, Table::<T>::TABLE) }
    }
}

/// What `private_data` of an open file is.
type Private<T> = Pin<KBox<<T as Operations>::Opened>>;

/// The table of functions for an entry.
///
/// All of them are called by procfs, for an inode or file of an entry that [`Entry::file`] made.
/// All but `release` are called while the entry is not removed, and `release` before its data go.
struct Table<T>(PhantomData<T>);

impl<T: Operations> Table<T> {
    const TABLE: &'static proc_ops = &proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: if T::HAS_READ {
            Some(Self::read_iter)
        } else {
            None
        },
        proc_write: if T::HAS_WRITE {
            Some(Self::write)
        } else {
            None
        },
        proc_lseek: if T::HAS_SIZE { Some(Self::lseek) } else { None },
        proc_release: Some(Self::release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `file` must be open, as [`Table`] says; it is, until `'a` is over.
    unsafe fn parts<'a>(file: *mut bindings::file) -> (&'a T, Pin<&'a T::Opened>) {
        // SAFETY: By the function's contract; `open()` put that into `private_data`.
        unsafe {
            let private = (*file).private_data;
            (
                data_of(file),
                <Private<T> as ForeignOwnable>::borrow(private),
            )
        }
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: By the function's contract; nobody else uses a file that is being opened.
            let (data, opened_file) = unsafe { (data_of::<T>(file), File::from_raw_file(file)) };
            let opened = KBox::pin_init(data.open(opened_file), GFP_KERNEL)?;
            // SAFETY: As above.
            unsafe { (*file).private_data = opened.into_foreign() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        to: *mut bindings::iov_iter,
    ) -> isize {
        from_result(|| {
            // SAFETY: By the function's contract. For the time of the call the position and the
            // iterator, which a read fills, are ours alone.
            let ((data, opened), position, to) = unsafe {
                (
                    Self::parts((*kiocb).ki_filp),
                    &mut (*kiocb).ki_pos,
                    IovIterDest::from_raw(to),
                )
            };
            fill(to, |to| data.read(opened, position, to))
        })
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        from: *const c_char,
        count: usize,
        position: *mut bindings::loff_t,
    ) -> isize {
        let mut from = UserSlice::new(UserPtr::from_addr(from as usize), count).reader();
        from_result(|| {
            // SAFETY: By the function's contract. `position` is the caller's own or protected by
            // its lock, and a task's `fdget_pos()` is that of this very call.
            let ((data, opened), file, position) =
                unsafe { (Self::parts(file), File::from_raw_file(file), &mut *position) };
            Ok(data.write(file, opened, position, &mut from)? as isize)
        })
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn lseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: By the function's contract.
        let (data, opened) = unsafe { Self::parts(file) };
        let end = i64::try_from(data.size(opened)).unwrap_or(i64::MAX);
        // SAFETY: As above.
        unsafe { bindings::generic_file_llseek_size(file, offset, whence, i64::MAX, end) }
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the function's contract it was opened, and is released once.
        drop(unsafe { <Private<T> as ForeignOwnable>::from_foreign((*file).private_data) });
        0
    }
}
