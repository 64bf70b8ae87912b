// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that keep the module while they are open.
//!
//! The `kernel` crate's `debugfs` makes files whose `file_operations` have no owner. Removing such
//! a file waits for who reads or writes it, but not for who merely has it open; and closing it
//! looks for `release` in the operations, which are in the module. So a file that is still open
//! when the module goes is an Oops when it is closed. Here the owner is set, and unloading is
//! refused as for any other open file of a module.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use core::marker::PhantomData;

use crate::compat;
use kernel::{
    bindings, fmt,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc,
    uaccess::{UserPtr, UserSlice, UserSliceReader},
};

/// What is in a file. The driver's module cannot be unloaded while one is open.
pub trait Contents: Send + Sync + 'static {
    /// Whether the file can be written to, too.
    const WRITABLE: bool = false;

    /// What reading gives.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Takes what was written, in whole.
    fn store(&self, _reader: &mut UserSliceReader) -> Result {
        Err(EINVAL)
    }
}

/// Something in debugfs, removed when dropped.
///
/// # Invariants
///
/// What `debugfs_create_*()` returned, not removed yet. As everywhere in debugfs that can be an
/// error, which all its functions take for "nothing".
struct Entry(*mut bindings::dentry);

// SAFETY: debugfs locks; any task may remove an entry.
unsafe impl Send for Entry {}
// SAFETY: As above.
unsafe impl Sync for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        #[cfg(CONFIG_DEBUG_FS)]
        unsafe {
            bindings::debugfs_remove(self.0)
        };
    }
}

/// A folder. Its files and sub-folders keep it.
pub struct Dir {
    // Before `_parent`: removing a folder removes what is in it.
    entry: Entry,
    _parent: Option<Arc<Dir>>,
}

impl Dir {
    /// Makes a folder in another one, or at the top.
    pub fn new(name: &CStr, parent: Option<&Arc<Dir>>) -> Result<Arc<Self>> {
        let at = parent.map_or(core::ptr::null_mut(), |parent| parent.entry.0);
        let dir = Self {
            entry: Self::create(name, at),
            _parent: parent.cloned(),
        };
        Ok(Arc::new(dir, GFP_KERNEL)?)
    }

    #[cfg(CONFIG_DEBUG_FS)]
    fn create(name: &CStr, parent: *mut bindings::dentry) -> Entry {
        // INVARIANT: Just made.
        // SAFETY: The name is a string, and the parent null, an error or a folder that is there.
        Entry(unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), parent) })
    }

    #[cfg(not(CONFIG_DEBUG_FS))]
    fn create(_: &CStr, parent: *mut bindings::dentry) -> Entry {
        // INVARIANT: Nothing.
        Entry(parent)
    }
}

/// A file. Dropping it waits until nobody is reading or writing it; who has it open then gets
/// `EIO`.
pub struct File<T: Contents> {
    // First: after that nobody uses the contents any more.
    _entry: Entry,
    _contents: KBox<T>,
    _dir: Arc<Dir>,
}

impl<T: Contents> File<T> {
    /// Makes a file, for its owner (root) only.
    pub fn new(dir: &Arc<Dir>, name: &CStr, contents: T) -> Result<Self> {
        let contents = KBox::new(contents, GFP_KERNEL)?;
        Ok(Self {
            _entry: Self::create(dir, name, &contents),
            _contents: contents,
            _dir: dir.clone(),
        })
    }

    #[cfg(CONFIG_DEBUG_FS)]
    fn create(dir: &Dir, name: &CStr, contents: &T) -> Entry {
        let mode = if T::WRITABLE { 0o600 } else { 0o400 };
        let contents = core::ptr::from_ref(contents).cast_mut().cast();
        // INVARIANT: Just made.
        // SAFETY: The name is a string, the folder is there or an error, the operations are static
        // and take `private` for a `T`; the contents stay until the entry was removed.
        Entry(unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                mode,
                dir.entry.0,
                contents,
                core::ptr::null(),
                Table::<T>::TABLE,
            )
        })
    }

    #[cfg(not(CONFIG_DEBUG_FS))]
    fn create(_: &Dir, _: &CStr, _: &T) -> Entry {
        // INVARIANT: Nothing.
        Entry(core::ptr::null_mut())
    }
}

/// The table of functions for files with such contents.
struct Table<T>(PhantomData<T>);

#[cfg_attr(not(CONFIG_DEBUG_FS), allow(dead_code))]
impl<T: Contents> Table<T> {
    const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: compat::this_module(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        write: if T::WRITABLE { Some(Self::write) } else { None },
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by debugfs, for a file with this table, which is not removed meanwhile.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the function's contract; `i_private` is what the file was made with.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Called by `seq_read()`, on a file that [`Self::open`] opened and that is not removed
    /// meanwhile.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: By the function's contract the private data are the contents, which stay until
        // the file was removed.
        let contents = unsafe { &*(*seq).private.cast::<T>() };
        // SAFETY: By the function's contract.
        let seq = unsafe { SeqFile::from_raw(seq) };
        seq_print!(seq, "{}", Shown(contents));
        0
    }

    /// # Safety
    ///
    /// Called by debugfs, on a file that [`Self::open`] opened and that is not removed meanwhile.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        from: *const c_char,
        count: usize,
        _: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: By the function's contract: `single_open()` made the private data a `seq_file`,
        // with the contents as its own.
        let contents = unsafe {
            let seq = (*file).private_data.cast::<bindings::seq_file>();
            &*(*seq).private.cast::<T>()
        };
        let from = UserPtr::from_addr(from as usize);
        match contents.store(&mut UserSlice::new(from, count).reader()) {
            Ok(()) => count as isize,
            Err(error) => error.to_errno() as isize,
        }
    }
}

/// Contents, as something to print.
struct Shown<'a, T>(&'a T);

impl<T: Contents> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}
