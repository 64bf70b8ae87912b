// SPDX-License-Identifier: GPL-2.0

//! Entries that are lists, through the kernel's `seq_file`.
//!
//! A list may be longer than any buffer. Each `read()` makes a [`Cursor`], which shows one element
//! after the other until the reader's buffer is full, and is dropped before anything is copied to
//! the reader. So a cursor may hold a lock: while it lives the list does not change, and nobody
//! waits for a reader's page fault with the lock held. It may hold an RCU read lock only if showing
//! and moving do not sleep.
//!
//! Between two reads the list may change. Where to go on is told by a *position*, which each
//! element has and which grows along the list. With positions that stay with an element (a number
//! of its own, and not its place in the list) no element that is there all the time is left out or
//! shown twice, whatever comes and goes around it.
//!
//! C header: [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

use core::{cell::UnsafeCell, marker::PhantomData, ptr};

use kernel::{
    bindings,
    error::{from_result, to_result, VTABLE_DEFAULT_ERROR},
    fmt,
    fs::File,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc,
    types::ForeignOwnable,
    uaccess::{UserPtr, UserSlice, UserSliceReader},
};
use kit_bindings::proc_ops;

use super::{data_of, Dir, Entry};

/// A list; `Self` is what its open files share.
#[vtable]
pub trait Sequence: Sized + Send + Sync + 'static {
    /// What each open file has for itself; `()` for nothing.
    type Opened: Send + Sync + 'static;
    /// What stands at an element.
    type Cursor<'a>: Cursor;

    /// Called when the entry is opened; dropped when it is closed or removed.
    fn open(&self, file: &File) -> impl PinInit<Self::Opened, Error>;

    /// Makes a cursor at the first element whose position is this or a later one. `None` is the end
    /// of the list.
    fn start<'a>(
        &'a self,
        opened: Pin<&'a Self::Opened>,
        position: u64,
    ) -> Result<Option<Self::Cursor<'a>>>;

    /// Takes what was written, in whole. The file's position is then 0, so that what is read next
    /// is the list from its beginning.
    fn write(
        &self,
        _file: &File,
        _opened: Pin<&Self::Opened>,
        _from: &mut UserSliceReader,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Where in a list a reader is. It lives within one call of `read()`, in one task.
pub trait Cursor {
    /// The position of the element.
    fn position(&self) -> u64;

    /// Goes to the next element, whose position must be a later one; `false` if there is none.
    fn advance(&mut self) -> bool;

    /// What reading the element gives. May be called more than once for one element.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<T: Sequence> Entry<T> {
    /// Makes an entry that is a list, in a folder or at the top of /proc.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that cannot be a name or a mode, `EEXIST` if the name is taken.
    #[doc(alias = "proc_create_seq_private")]
    pub fn sequence(
        dir: Option<&Arc<Dir>>,
        name: &CStr,
        mode: u16,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        // SAFETY: The functions of `Table<T>` do.
        unsafe { Self::new(dir, name, mode, data, Table::<T>::TABLE) }
    }
}

/// What `private` of the `seq_file` of an open file points to.
///
/// # Invariants
///
/// `cursor` is only used under the lock of the `seq_file`, and is `None` whenever that is free.
#[pin_data]
struct State<T: Sequence> {
    /// The cursor's lifetime is in truth that between `start` and `stop`, and within that of
    /// `opened` and of the entry's data. That `'static` is seen by nobody: the implementation of
    /// `Sequence` is for any lifetime.
    cursor: UnsafeCell<Option<T::Cursor<'static>>>,
    #[pin]
    opened: T::Opened,
}

/// As a pointer for `private`.
type Private<T> = Pin<KBox<State<T>>>;

/// The tables of functions for an entry.
///
/// Those of procfs are called as its documentation says: all but `release` while the entry is not
/// removed, and `release` before its data go. Those of `seq_file` are called within `read()` and
/// `lseek()`, under the lock of the `seq_file`, in one task from `start` to `stop`, and `stop`
/// follows each `start`.
struct Table<T>(PhantomData<T>);

impl<T: Sequence> Table<T> {
    const TABLE: &'static proc_ops = &proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: Some(bindings::seq_read_iter),
        proc_write: if T::HAS_WRITE {
            Some(Self::write)
        } else {
            None
        },
        proc_lseek: Some(bindings::seq_lseek),
        proc_release: Some(Self::release),
        ..pin_init::zeroed()
    };

    const SEQUENCE: &'static bindings::seq_operations = &bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    /// # Safety
    ///
    /// `seq` must be that of an open file, as [`Table`] says; it is, until `'a` is over.
    unsafe fn state<'a>(seq: *mut bindings::seq_file) -> &'a State<T> {
        // SAFETY: By the function's contract; `open()` put that there.
        unsafe { <Private<T> as ForeignOwnable>::borrow((*seq).private) }.get_ref()
    }

    /// # Safety
    ///
    /// Must be called between `start` and `stop`, or by them, and what it returned before must not
    /// be used any more.
    unsafe fn cursor<'a>(seq: *mut bindings::seq_file) -> &'a mut Option<T::Cursor<'static>> {
        // SAFETY: By the function's contract; the lock that is held keeps others away.
        unsafe { &mut *Self::state(seq).cursor.get() }
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: By the function's contract; nobody else uses a file that is being opened.
            let (data, opened_file) = unsafe { (data_of::<T>(file), File::from_raw_file(file)) };
            let state = try_pin_init!(State::<T> {
                // INVARIANT: Nobody has the lock yet.
                cursor: UnsafeCell::new(None),
                opened <- data.open(opened_file),
            });
            let state = KBox::pin_init(state, GFP_KERNEL)?;
            // SAFETY: As above, and the operations are static.
            to_result(unsafe { bindings::seq_open(file, Self::SEQUENCE) })?;
            // SAFETY: `seq_open()` succeeded, so that is a `seq_file`.
            unsafe {
                let seq: *mut bindings::seq_file = (*file).private_data.cast();
                (*seq).private = state.into_foreign();
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the function's contract it was opened, and is released once. `seq_release()`
        // does not look at `private`.
        unsafe {
            let seq: *mut bindings::seq_file = (*file).private_data.cast();
            drop(<Private<T> as ForeignOwnable>::from_foreign((*seq).private));
            bindings::seq_release(inode, file)
        }
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
            // SAFETY: By the function's contract. A task's `fdget_pos()` is that of this very call.
            let (data, state, file) = unsafe {
                (
                    data_of::<T>(file),
                    Self::state((*file).private_data.cast()),
                    File::from_raw_file(file),
                )
            };
            // SAFETY: `opened` is part of a pinned box.
            let opened = unsafe { Pin::new_unchecked(&state.opened) };
            data.write(file, opened, &mut from)?;
            // SAFETY: It is the caller's own, or protected by its lock.
            unsafe { *position = 0 };
            Ok(count as isize)
        })
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn start(
        seq: *mut bindings::seq_file,
        position: *mut bindings::loff_t,
    ) -> *mut c_void {
        // SAFETY: By the function's contract. `'static` stands for "until `stop`", see `State`.
        let (data, state) = unsafe { (data_of::<T>((*seq).file), Self::state::<'static>(seq)) };
        // SAFETY: `opened` is part of a pinned box.
        let opened = unsafe { Pin::new_unchecked(&state.opened) };
        // SAFETY: By the function's contract.
        let wanted = unsafe { *position };
        match data.start(opened, wanted as u64) {
            Ok(Some(cursor)) => {
                // SAFETY: By the function's contract; it is `wanted` or later.
                unsafe { *position = at(&cursor).max(wanted) };
                // SAFETY: Called by `start`.
                // INVARIANT: Under the lock; `stop` takes it away again.
                ptr::from_mut(unsafe { Self::cursor(seq) }.insert(cursor)).cast()
            }
            Ok(None) => ptr::null_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn next(
        seq: *mut bindings::seq_file,
        _: *mut c_void,
        position: *mut bindings::loff_t,
    ) -> *mut c_void {
        // SAFETY: By the function's contract.
        let (cursor, position) = unsafe { (Self::cursor(seq), &mut *position) };
        let past = position.saturating_add(1);
        let next = cursor.as_mut().and_then(|at| at.advance().then_some(at));
        *position = next.as_deref().map_or(past, |next| at(next).max(past));
        next.map_or(ptr::null_mut(), |next| ptr::from_mut(next).cast())
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: By the function's contract.
        let (cursor, seq) = unsafe { (Self::cursor(seq), SeqFile::from_raw(seq)) };
        if let Some(cursor) = cursor {
            seq_print!(seq, "{}", Shown(cursor));
        }
        0
    }

    /// # Safety
    ///
    /// As [`Table`] says.
    unsafe extern "C" fn stop(seq: *mut bindings::seq_file, _: *mut c_void) {
        // INVARIANT: The lock is still held, and will be free only after this.
        // SAFETY: By the function's contract.
        drop(unsafe { Self::cursor(seq) }.take());
    }
}

/// The position of an element, as `seq_file` counts.
fn at(cursor: &impl Cursor) -> bindings::loff_t {
    cursor.position().try_into().unwrap_or(i64::MAX)
}

/// An element, as something to print.
struct Shown<'a, C>(&'a C);

impl<C: Cursor> fmt::Display for Shown<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}
