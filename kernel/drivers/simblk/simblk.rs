// SPDX-License-Identifier: GPL-2.0

//! `simblk`: simulated disks, in memory.
//!
//! A bio-based driver of RAM disks that are sparse, come and go at run time, and let a user program
//! take part in each I/O. It is safe Rust throughout; what it needs of the kernel beyond the
//! `kernel` crate is in `kit`.
//!
//! | file | what it is about |
//! |---|---|
//! | `params` | the module's parameters, checked |
//! | `registry` | which disks there are |
//! | `disk` | one disk: what happens to a bio |
//! | `queue` | the requests that wait for a user program |
//! | `mapper` | when such a request is put there, and when it stops waiting |
//! | `mapping` | the map of such a request, its answer, and moving the data accordingly |
//! | `control` | the control device: ioctls to registry and mapper |
//! | `debug` | counters and the log switch in debugfs |
//!
//! Disks are made and removed through a control device and not through configfs: registering a
//! program binds an open file to a disk, so that the program's death ends it, and that needs a
//! device anyway; making a disk is one call that succeeds or fails as a whole, where configfs takes
//! a directory, several files and a switch; and the structs of the call are shared with user space
//! as types.

#![deny(unsafe_code)]

mod control;
mod debug;
mod disk;
mod mapper;
mod mapping;
mod params;
mod queue;
mod registry;

use kernel::{prelude::*, sync::Arc};
use kit::misc;

use crate::{control::Control, debug::LogSwitch, params::Params, registry::Registry};

module! {
    type: SimBlk,
    name: "simblk",
    authors: ["Blockyard developers"],
    description: "Simulated disks in memory, steered by ioctl",
    license: "GPL",
}

kit::module_version!("0.1.0");

kit::module_params! {
    size_mb: u64 {
        default: 32,
        description: "Size of each disk that is made at load, in MiB (1 to 4194304)",
    },
    block_size: u32 {
        default: 512,
        description: "Logical block size, in bytes (512, 1024, 2048 or 4096)",
    },
    disks: u32 {
        default: 1,
        description: "How many disks are made at load (0 to 64)",
    },
    max_memory_mb: u64 {
        default: 0,
        description: "Most memory that the data of each disk may take, in MiB (0: no cap)",
    },
}

/// The loaded module. The order of the fields is the order in which they go.
#[pin_data]
struct SimBlk {
    _loaded: Loaded,
    /// From here on nobody can open the control device any more.
    #[pin]
    _control: misc::Registration<Control>,
    _log_switch: LogSwitch,
    /// Last: removes all disks, and waits until they have gone. (No open file shares it any more:
    /// those keep the module.)
    _registry: Arc<Registry>,
}

/// Says in the kernel log that the module is loaded, and, when dropped, that it is being unloaded.
struct Loaded;

impl Loaded {
    fn new(major: u32, params: &Params) -> Self {
        pr_info!("loaded: major {major}, {params}\n");
        Self
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        pr_info!("unloading\n");
    }
}

impl kernel::InPlaceModule for SimBlk {
    fn init(_: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let params = Params::from_module()?;
            let registry = Registry::new()?;
            for _ in 0..params.disks {
                registry.create(params.disk)?;
            }
            let log_switch = debug::log_switch(registry.debug_dir())?;
            let shared = registry.clone();
            let major = registry.major();
            Ok(try_pin_init!(Self {
                _registry: registry,
                _log_switch: log_switch,
                _control <- misc::Registration::register(control::NAME, shared),
                _loaded: Loaded::new(major, &params),
            }))
        })
    }
}
