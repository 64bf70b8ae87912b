// SPDX-License-Identifier: MIT OR Apache-2.0
//! A whole disk: filled, zeroed and discarded by the calls that programs use, past the page cache.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::ioctl::{self, Opcode, Setter, opcode};

/// `BLKDISCARD` and `BLKZEROOUT` of linux/fs.h: two u64, where from and how many bytes. (Their numbers are from before the
/// convention that puts the argument's size into them.)
const BLKDISCARD: Opcode = opcode::none(0x12, 119);
const BLKZEROOUT: Opcode = opcode::none(0x12, 127);

/// Bytes of one write.
const BLOCK: usize = 1 << 20;
/// What `O_DIRECT` needs the memory to be aligned to, at most.
const ALIGN: usize = 4096;

/// An open disk, whose contents do not matter any more.
pub struct Disk {
    file: File,
    bytes: u64,
}

impl Disk {
    /// Opens a block device for direct I/O.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, bytes })
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes all of it once, 1 MiB after the other; the time that the writes took.
    pub fn fill(&self) -> io::Result<Duration> {
        let memory = vec![0x5au8; BLOCK + ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN);
        let block = &memory[start..start + BLOCK];
        let begun = Instant::now();
        let mut at = 0;
        while at < self.bytes {
            let len = BLOCK.min(usize::try_from(self.bytes - at).unwrap_or(BLOCK));
            self.file.write_all_at(&block[..len], at)?;
            at += len as u64;
        }
        Ok(begun.elapsed())
    }

    /// Discards all of it.
    pub fn discard(&self) -> io::Result<Duration> {
        self.whole::<BLKDISCARD>()
    }

    /// Makes all of it zeroes, by whatever way the kernel finds best for it.
    pub fn zero(&self) -> io::Result<Duration> {
        self.whole::<BLKZEROOUT>()
    }

    fn whole<const OPCODE: Opcode>(&self) -> io::Result<Duration> {
        let begun = Instant::now();
        // SAFETY: Both ioctls read two u64 from the pointer, which is what the setter passes, and write to none of our
        // memory.
        unsafe { ioctl::ioctl(&self.file, Setter::<OPCODE, [u64; 2]>::new([0, self.bytes]))? };
        Ok(begun.elapsed())
    }
}
