// SPDX-License-Identifier: GPL-2.0

//! What can be watched: the log of each I/O, and the counters of each disk, in
//! `/sys/kernel/debug/simblk`.

use blockyard_abi::{ioctl::Ioctl, simblk as abi};
use kernel::{
    fmt,
    prelude::*,
    str::{kstrtobool_bytes, CString},
    sync::Arc,
    uaccess::UserSliceReader,
};
use kit::{
    block::{Bio, Op},
    debugfs::{Contents, Dir, File},
    flag::Flag,
};

use crate::disk::{DiskRef, SimDisk};

/// Whether each bio and ioctl is logged. Off at first; off costs one load and one branch.
///
/// A static key would save the load. It was tried, and works on hardware; but patching code that
/// another CPU is just executing kills a guest under QEMU's multi-threaded emulation ("Oops: int3",
/// QEMU 7.2, within seconds of turning the switch under I/O, and never with `thread=single`). That
/// is where these disks mostly live, and a log must not be what brings them down.
pub(crate) static LOG_IO: Flag = Flag::new(false);

/// Logs a bio.
#[cold]
pub(crate) fn log_bio(index: u32, bio: &Bio, op: Op) {
    let mark = |set: bool, name: &'static str| if set { name } else { "" };
    pr_info!(
        "{}{index}: {op:?} sector {} bytes {}{}{}{}\n",
        abi::NAME,
        bio.sector(),
        bio.size(),
        mark(bio.preflush(), " preflush"),
        mark(bio.fua(), " fua"),
        mark(bio.nowait(), " nowait")
    );
}

/// Logs an ioctl on a disk, decoded.
#[cold]
pub(crate) fn log_ioctl(index: u32, ioctl: Ioctl) {
    pr_info!(
        "{}{index}: ioctl direction={} size={} type={:#04x} number={}\n",
        abi::NAME,
        ioctl.direction(),
        ioctl.size(),
        ioctl.ty(),
        ioctl.nr()
    );
}

/// The contents of the file `log_io`: reads as `Y` or `N`, and takes what the kernel takes for a
/// boolean.
pub(crate) struct LogIo;

/// The file `log_io`. It goes when this is dropped.
pub(crate) type LogSwitch = File<LogIo>;

/// Makes the file `log_io` in `dir`.
pub(crate) fn log_switch(dir: &Arc<Dir>) -> Result<LogSwitch> {
    File::new(dir, c"log_io", LogIo)
}

impl Contents for LogIo {
    const WRITABLE: bool = true;

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if LOG_IO.get() { 'Y' } else { 'N' })
    }

    fn store(&self, reader: &mut UserSliceReader) -> Result {
        let mut text = [0; 8];
        let len = reader.len();
        let text = text.get_mut(..len).ok_or(EINVAL)?;
        reader.read_slice(text)?;
        LOG_IO.set(kstrtobool_bytes(text.trim_ascii())?);
        Ok(())
    }
}

/// A value of a disk that can be read.
type Value = fn(&SimDisk) -> u64;

const COUNTERS: [(&CStr, Value); 10] = [
    (c"reads", |disk| disk.counters.totals().reads),
    (c"writes", |disk| disk.counters.totals().writes),
    (c"flushes", |disk| disk.counters.totals().flushes),
    (c"discards", |disk| disk.counters.totals().discards),
    (c"zeroes", |disk| disk.counters.totals().zeroes),
    (c"bytes_read", |disk| disk.counters.totals().bytes_read),
    (c"bytes_written", |disk| {
        disk.counters.totals().bytes_written
    }),
    (c"errors", |disk| disk.counters.totals().errors),
    (c"pages_held", |disk| disk.store.pages_held()),
    (c"held_requests", |disk| disk.mapper.state().held.into()),
];

/// The contents of the file of one counter.
pub(crate) struct Counter {
    disk: DiskRef,
    value: Value,
}

impl Contents for Counter {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", (self.value)(&self.disk))
    }
}

/// The files of a disk, in a folder of its own. They go, and it with them, when this is dropped.
pub(crate) type Counters = KVec<File<Counter>>;

/// Makes the folder of a disk in `dir`, with a file for each counter.
pub(crate) fn counters(dir: &Arc<Dir>, disk: &DiskRef) -> Result<Counters> {
    let name = CString::try_from_fmt(fmt!("{}{}", abi::NAME, disk.index))?;
    let folder = Dir::new(&name, Some(dir))?;
    let mut files = KVec::with_capacity(COUNTERS.len(), GFP_KERNEL)?;
    for (name, value) in COUNTERS {
        let disk = disk.clone();
        files.push(
            File::new(&folder, name, Counter { disk, value })?,
            GFP_KERNEL,
        )?;
    }
    Ok(files)
}
