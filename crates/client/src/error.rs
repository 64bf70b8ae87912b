// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong, each case with what to do about it. The driver's error numbers are explained in
//! [`blockyard_abi::simblk`]; here they become words.

use std::io;
use std::path::PathBuf;

use blockyard_abi::simblk as abi;

/// What any fallible function here returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the driver, or on the way to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no control device: the module is not loaded.
    #[error("{} is not there", path.display())]
    NotLoaded {
        /// The device that was looked for.
        path: PathBuf,
    },
    /// The caller lacks the permission or the capability.
    #[error("no permission to {doing}")]
    Permission {
        /// What was tried.
        doing: String,
    },
    /// No disk has this index.
    #[error("there is no disk simblk{index}")]
    NoSuchDisk {
        /// The index that was asked for.
        index: u32,
    },
    /// The disk is open, mounted or otherwise in use.
    #[error("simblk{index} is in use")]
    InUse {
        /// The disk.
        index: u32,
    },
    /// Another program is the disk's mapper.
    #[error("simblk{index} has a mapping program already")]
    Taken {
        /// The disk.
        index: u32,
    },
    /// As many disks exist as can.
    #[error("{} disks exist, which is the most", abi::MAX_DISKS)]
    TooMany,
    /// The driver refused a value.
    #[error("the driver refused to {doing}: {why}")]
    Refused {
        /// What was asked for, with its values.
        doing: String,
        /// Which values it takes.
        why: String,
    },
    /// The disk holds data, which the policy would not find.
    #[error("simblk{index} holds {pages} pages of data, and the log begins empty")]
    NotEmpty {
        /// The disk.
        index: u32,
        /// Pages that hold data.
        pages: u64,
    },
    /// The request is not held any more, or the whole registration has ended: no answer came in time.
    #[error("{what} is gone: no answer came in time")]
    Lapsed {
        /// The request, or the registration.
        what: String,
    },
    /// The disk was removed while its mapper was at work.
    #[error("simblk{index} was removed")]
    DiskGone {
        /// The disk that was.
        index: u32,
    },
    /// A signal ended the wait for a request.
    #[error("interrupted while waiting for a request")]
    Interrupted,
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

impl Error {
    /// What the person can do next, where there is something.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotLoaded { .. } => "load the driver: modprobe simblk".into(),
            Self::Permission { .. } => "run as root (the driver asks for CAP_SYS_ADMIN)".into(),
            Self::NoSuchDisk { .. } => "see which there are: simctl list".into(),
            Self::InUse { index } => {
                format!("unmount and close it, or take it away all the same: simctl remove {index} --force")
            }
            Self::Taken { .. } => "end that program; a disk has one mapper at a time".into(),
            Self::TooMany => "remove one: simctl remove DISK".into(),
            Self::NotEmpty { index, .. } => {
                format!("take another disk, or throw the data away: blkdiscard /dev/simblk{index}")
            }
            Self::Lapsed { .. } => {
                "the disk goes on with the identity mapping; register again, or allow more time per answer"
                    .into()
            }
            Self::DiskGone { .. } | Self::Refused { .. } | Self::Interrupted | Self::System { .. } => {
                return None;
            }
        })
    }

    pub(crate) fn system(doing: impl Into<String>, errno: rustix::io::Errno) -> Self {
        Self::System { doing: doing.into(), source: errno.into() }
    }
}
