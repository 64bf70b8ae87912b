// SPDX-License-Identifier: GPL-2.0

//! Functions of the kernel that can be probed, with their arguments as types.

use kernel::{bindings, prelude::*};

use super::{Function, Registers};

/// `do_file_open()`: a file is opened by its name.
///
/// All ways lead through it: open, openat, openat2 and creat, but also execve (for the program),
/// io_uring, and the kernel itself. By then the path has been copied from user memory. This is why
/// one probes here and not at the system call: what a system call is given is a pointer to memory
/// that may not be present, which a probe cannot wait for, and that another thread may change
/// between the probe and the open.
///
/// ```c
/// struct file *do_file_open(int dfd, struct filename *pathname, const struct open_flags *op);
/// ```
pub struct FileOpen;

/// A file to open.
pub struct OpenCall<'a> {
    /// Its name as it was given: relative to the current folder or the one of the call, if it does
    /// not begin with `/`.
    pub path: &'a CStr,
}

// SAFETY: `do_file_open` is declared as quoted above; the second argument is an error, or a name
// that the caller holds during the call.
unsafe impl Function for FileOpen {
    const SYMBOL: &'static CStr = c"do_file_open";
    /// `None` if there is no name, because it could not be copied from user memory (`EFAULT`), was
    /// too long, or was empty.
    type Arguments<'a> = Option<OpenCall<'a>>;

    unsafe fn arguments<'a>(registers: &'a Registers) -> Self::Arguments<'a> {
        // SAFETY: By the function's contract, it has three arguments, and this is a pointer.
        let name = unsafe { registers.argument(1) } as *const bindings::__filename_head;
        // SAFETY: `IS_ERR()` looks at the value only.
        if unsafe { bindings::IS_ERR(name.cast()) } {
            return None;
        }
        // SAFETY: By the function's contract the call goes on after `'a`, and until then its
        // caller holds the `struct filename`, of which this is the head; it has a string, which is
        // not changed.
        let path = unsafe { CStr::from_char_ptr((*name).name) };
        Some(OpenCall { path })
    }
}
