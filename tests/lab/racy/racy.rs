// SPDX-License-Identifier: GPL-2.0

//! `racy`: counts the bytes that are written to it, as nobody should: in a plain word that all writers share.
//! A data race of Rust's own, for the test that a kernel with KCSAN finds those.

use core::cell::UnsafeCell;

use kernel::{fs::File, iov::IovIterSource, prelude::*, sync::Arc};
use kit::{
    chrdev,
    file::{Io, Operations},
};

module! {
    type: Racy,
    name: "racy",
    authors: ["Blockyard"],
    description: "Counts with a data race",
    license: "GPL",
}

/// How many bytes.
struct Count(UnsafeCell<u64>);

// SAFETY: It is not: this is what the test is about. A torn or lost count harms nobody.
unsafe impl Sync for Count {}
// SAFETY: A number.
unsafe impl Send for Count {}

/// An open file.
struct Session(Arc<Count>);

#[vtable]
impl Operations for Session {
    type Shared = Count;

    fn open(count: Arc<Count>, _: &File) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self(count))
    }

    fn write(&self, _: Io<'_>, from: &mut IovIterSource<'_>) -> Result<usize> {
        let written = from.len();
        let count = self.0 .0.get();
        // SAFETY: The word lives as long as the session. Who else writes it at this moment: see above.
        unsafe { *count = (*count).wrapping_add(written as u64) };
        Ok(written)
    }
}

/// The loaded module: dropping it takes the device away.
struct Racy {
    _device: chrdev::Device<Session>,
}

impl kernel::Module for Racy {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let count = Arc::new(Count(UnsafeCell::new(0)), GFP_KERNEL)?;
        let number = chrdev::Number::dynamic(c"racy")?;
        let class = chrdev::Class::new(c"racy")?;
        Ok(Self { _device: chrdev::Device::add(&class, number, c"racy", count)? })
    }
}
