// SPDX-License-Identifier: GPL-2.0

//! How a bio can fail.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use kernel::bindings;

use crate::mem::StoreError;

/// An error that a bio ends with. The numbers are `BLK_STS_*`, whose casts bindgen cannot
/// translate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// The operation is not supported: `EOPNOTSUPP`.
    NotSupported = 1,
    /// There is no room left: `ENOSPC`.
    NoSpace = 3,
    /// There is no memory: `ENOMEM`.
    NoMemory = 9,
    /// An I/O error: `EIO`.
    Io = 10,
    /// It would have to wait, and must not: `EAGAIN`.
    Again = 12,
}

impl Status {
    /// The number of `blk_status_t`.
    pub fn raw(self) -> bindings::blk_status_t {
        self as u8
    }

    /// The error number that user space gets to see, positive.
    #[doc(alias = "blk_status_to_errno")]
    pub fn errno(self) -> u32 {
        // SAFETY: Translates a number; any is allowed.
        unsafe { bindings::blk_status_to_errno(self.raw()) }.unsigned_abs()
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::OutOfRange | StoreError::NotFillable => Status::Io,
            StoreError::Full => Status::NoSpace,
            StoreError::NoMemory => Status::NoMemory,
        }
    }
}
