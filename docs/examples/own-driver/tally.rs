// SPDX-License-Identifier: GPL-2.0

//! `tally`: counts the bytes that are written to it.

#![deny(unsafe_code)]

use kernel::{
    fs::File,
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};
use kit::{
    chrdev,
    file::{Io, Operations},
};

module! {
    type: Tally,
    name: "tally",
    authors: ["You"],
    description: "Counts the bytes that are written to it",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// An open file.
struct Session {
    /// What it reads: the count when it was opened.
    text: CString,
    /// Shared by all files and the module.
    count: Arc<Atomic<u64>>,
}

impl Session {
    fn begin(count: Arc<Atomic<u64>>) -> Result<Self> {
        let text = CString::try_from_fmt(fmt!("{} bytes\n", count.load(Relaxed)))?;
        Ok(Self { text, count })
    }
}

#[vtable]
impl Operations for Session {
    type Shared = Atomic<u64>;

    fn open(count: Arc<Atomic<u64>>, _: &File) -> impl PinInit<Self, Error> {
        Self::begin(count)
    }

    fn read(&self, io: Io<'_>, to: &mut IovIterDest<'_>) -> Result<usize> {
        to.simple_read_from_buffer(io.position, self.text.to_bytes())
    }

    fn write(&self, _: Io<'_>, from: &mut IovIterSource<'_>) -> Result<usize> {
        let written = from.len();
        self.count.fetch_add(written as u64, Relaxed);
        Ok(written)
    }

    fn size(&self) -> usize {
        self.text.to_bytes().len()
    }
}

/// The loaded module: dropping it takes the device away.
struct Tally {
    _device: chrdev::Device<Session>,
}

impl kernel::Module for Tally {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let count = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let number = chrdev::Number::dynamic(c"tally")?;
        let class = chrdev::Class::new(c"tally")?;
        let device = chrdev::Device::add(&class, number, c"tally", count)?;
        pr_info!("counting\n");
        Ok(Self { _device: device })
    }
}
