// SPDX-License-Identifier: GPL-2.0

//! `opensnoop`: tells which files are opened, by whom, while it happens.
//!
//! A probe on the kernel's function that opens files by name writes down each call of the chosen
//! process or user, and the call goes on unharmed. The device `/dev/opensnoop` gives a line for
//! each: process, user, thread, system call and path, as given. `/sys/kernel/opensnoop` says whose
//! calls are reported, and can be changed at any time. Besides open, openat, openat2 and creat these
//! are the calls that open a file on the way: execve, and those of io_uring.
//!
//! Nobody is held up by readers that are too slow: what does not fit into the ring any more is lost,
//! and a line `# N lost` says so.
//!
//! | file | what it is about |
//! |---|---|
//! | `filter` | whose calls are reported, and the attributes in sysfs |
//! | `event` | one call, and the line that tells of it |
//! | `snoop` | the probe, and what it leaves for readers |
//! | `reader` | an open file of `/dev/opensnoop` |

#![deny(unsafe_code)]

mod event;
mod filter;
mod reader;
mod snoop;

use kernel::{prelude::*, sync::Arc};
use kit::{kobject, misc, probe::Probe};

use crate::{
    filter::{Filter, Settings},
    reader::Reader,
    snoop::Snoop,
};

module! {
    type: OpenSnoop,
    name: "opensnoop",
    authors: ["Blockyard developers"],
    description: "Tells which files a process or a user opens",
    license: "GPL",
}

kit::module_version!("0.1.0");

kit::module_params! {
    pid: i32 {
        default: 0,
        description: "Report calls of this process only (0: of all)",
    },
    uid: i64 {
        default: -1,
        description: "Report calls of this user only (-1: of all)",
    },
}

/// The loaded module. Once nobody can get at the probe by device or sysfs, the last reference to it
/// goes, and with that the probe itself.
#[pin_data]
struct OpenSnoop {
    #[pin]
    _device: misc::Registration<Reader>,
    _settings: kobject::Registration<Settings>,
}

impl kernel::InPlaceModule for OpenSnoop {
    fn init(_: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let filter = Filter::new();
            filter.set_pid(parameters::pid.value()).inspect_err(|_| {
                pr_err!(
                    "parameter pid={}: it must not be negative\n",
                    parameters::pid.value()
                );
            })?;
            filter.set_uid(parameters::uid.value()).inspect_err(|_| {
                pr_err!(
                    "parameter uid={}: it must be -1, or a user\n",
                    parameters::uid.value()
                );
            })?;
            let probe = Arc::pin_init(Probe::register(Snoop::new(filter)), GFP_KERNEL)?;
            let settings = Settings(probe.clone());
            Ok(try_pin_init!(Self {
                _settings: kobject::Registration::new(kobject::Kernel, NAME, NAME, Ok(settings))?,
                _device <- misc::Registration::register(NAME, probe),
            }))
        })
    }
}

/// The name of the device and of the object in sysfs.
const NAME: &CStr = c"opensnoop";
