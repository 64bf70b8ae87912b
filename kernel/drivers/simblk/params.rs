// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, checked: a wrong one is named in the kernel log, with its value and
//! what would be right.
//!
//! That a value is a number at all is checked before, by the parameter's type.

use blockyard_abi::simblk as abi;
use kernel::{fmt, prelude::*};

use crate::{disk::Geometry, parameters as given};

const MIB: u64 = 1 << 20;
const MAX_MIB: u64 = abi::MAX_SIZE / MIB;

/// What to make at load.
pub(crate) struct Params {
    /// How many disks.
    pub(crate) disks: u32,
    /// What each is like.
    pub(crate) disk: Geometry,
}

impl Params {
    /// Checks the parameters that the module was loaded with.
    pub(crate) fn from_module() -> Result<Self> {
        let size_mb = given::size_mb.value();
        let block_size = given::block_size.value();
        let disks = given::disks.value();
        let cap_mb = given::max_memory_mb.value();
        check(
            "size_mb",
            size_mb,
            (1..=MAX_MIB).contains(&size_mb),
            "1 to 4194304",
        )?;
        let blocks = Geometry::is_block_size(block_size);
        check("block_size", block_size, blocks, "512, 1024, 2048 or 4096")?;
        check("disks", disks, disks <= abi::MAX_DISKS, "0 to 64")?;
        check(
            "max_memory_mb",
            cap_mb,
            cap_mb <= MAX_MIB,
            "0 to 4194304, 0 for no cap",
        )?;
        Ok(Self {
            disks,
            disk: Geometry {
                size: size_mb * MIB,
                block_size,
                memory_cap: cap_mb * MIB,
            },
        })
    }
}

fn check(name: &str, value: impl fmt::Display, good: bool, wanted: &str) -> Result {
    if good {
        return Ok(());
    }
    pr_err!("parameter {name}={value} is wrong: it must be {wanted}\n");
    Err(EINVAL)
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry {
            size, block_size, ..
        } = self.disk;
        let mib = size / MIB;
        write!(
            f,
            "{} disk(s) of {mib} MiB with blocks of {block_size} bytes",
            self.disks
        )
    }
}
