// SPDX-License-Identifier: GPL-2.0

//! `tinyfs`: a file system in memory, with files and folders.
//!
//! `mount -t tinyfs none /mnt -o size=16m,inodes=1024,mode=0755`. What is in it goes when it is
//! unmounted. Unlike `ramfs` it has limits: the sizes of all files, each rounded up to whole pages,
//! are together at most `size` (holes count), and there are at most `inodes` files and folders.
//! Whatever would take more gets `ENOSPC`.

#![deny(unsafe_code)]

mod budget;
mod options;

use kernel::{fmt, page::PAGE_SIZE, prelude::*};
use kit::fs::{FileSystem, Kind, Registration, Type, Usage};

use crate::{budget::Budget, options::Options};

module! {
    type: Module,
    name: "tinyfs",
    authors: ["Blockyard developers"],
    description: "A file system in memory, with files and folders",
    license: "GPL",
}

kit::module_version!("0.1.0");

static TYPE: Type<TinyFs> = Type::new();

/// The loaded module.
struct Module {
    _registration: Registration<TinyFs>,
}

impl kernel::Module for Module {
    fn init(_: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registration: Registration::new(&TYPE)?,
        })
    }
}

/// A mounted instance.
struct TinyFs {
    options: Options,
    pages: Budget,
    inodes: Budget,
}

/// How many pages a file of this size may come to take.
fn pages(size: u64) -> u64 {
    size.div_ceil(PAGE_SIZE as u64)
}

impl FileSystem for TinyFs {
    type Options = Options;

    const NAME: &'static CStr = c"tinyfs";
    const MAGIC: u32 = u32::from_be_bytes(*b"tiny");

    fn option(options: &mut Options, key: &CStr, value: Option<&CStr>) -> Result {
        options.set(key, value)
    }

    fn new(options: Options) -> Result<Self> {
        Ok(Self {
            pages: Budget::new(options.size / PAGE_SIZE as u64),
            inodes: Budget::new(options.inodes),
            options,
        })
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn show_options(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.options, f)
    }

    fn root_mode(&self) -> u16 {
        self.options.mode
    }

    fn create(&self, _: Kind) -> Result {
        self.inodes.take(1)
    }

    fn remove(&self, _: Kind) {
        self.inodes.give(1);
    }

    fn grow(&self, from: u64, to: u64) -> Result {
        self.pages.take(pages(to) - pages(from))
    }

    fn shrink(&self, from: u64, to: u64) {
        self.pages.give(pages(from) - pages(to));
    }

    fn usage(&self) -> Usage {
        Usage {
            pages: self.pages.limit(),
            free_pages: self.pages.left(),
            inodes: self.inodes.limit(),
            free_inodes: self.inodes.left(),
        }
    }
}
