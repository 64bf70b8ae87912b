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
pub const ALIGN: usize = 4096;

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

    /// Only its beginning, for a disk that is larger than what anybody means to store.
    pub fn at_most(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.min(bytes), ..self }
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes all of it once, 1 MiB after the other; the time that the writes took. What is written cannot be
    /// compressed, nor is a page of it all alike.
    pub fn fill(&self) -> io::Result<Duration> {
        let memory = noise(BLOCK);
        let block = memory.bytes();
        let begun = Instant::now();
        let mut at = 0;
        while at < self.bytes {
            let len = BLOCK.min(usize::try_from(self.bytes - at).unwrap_or(BLOCK));
            self.file.write_all_at(&block[..len], at)?;
            at += len as u64;
        }
        Ok(begun.elapsed())
    }

    /// Writes all of it once, page by page, in an order that leaves no two neighbours written one after the other.
    pub fn scatter(&self) -> io::Result<Duration> {
        let memory = noise(ALIGN);
        let page = memory.bytes();
        let pages = self.bytes / ALIGN as u64;
        let stride = stride(pages);
        let begun = Instant::now();
        for n in 0..pages {
            let at = (u128::from(n) * u128::from(stride) % u128::from(pages)) as u64;
            self.file.write_all_at(page, at * ALIGN as u64)?;
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

/// Memory that direct I/O can go to and come from.
pub struct Memory {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Memory {
    /// So many bytes, all zero.
    pub fn new(len: usize) -> Self {
        let bytes = vec![0u8; len + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN);
        Self { bytes, start, len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Bytes that look random, always the same.
fn noise(len: usize) -> Memory {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut word = || {
        // xorshift64*, by G. Marsaglia and S. Vigna
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut memory = Memory::new(len);
    memory
        .bytes_mut()
        .chunks_mut(8)
        .for_each(|place| place.copy_from_slice(&word().to_le_bytes()[..place.len()]));
    memory
}

/// Steps of this many, round and round, visit each of so many pages once: it has no factor in common with them, and is
/// near their golden section, so that neighbours are far apart in time.
fn stride(pages: u64) -> u64 {
    let common = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let golden = (pages as f64 * 0.618) as u64;
    (golden.max(1)..).find(|n| common(*n, pages.max(1)) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_visits_every_page_once() {
        for pages in [1, 2, 3, 16, 100, 65536] {
            let stride = stride(pages);
            let mut seen: Vec<_> = (0..pages).map(|n| n * stride % pages).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..pages), "{pages}");
        }
    }

    #[test]
    fn noise_has_no_page_that_is_all_alike() {
        let noise = noise(64 << 10);
        assert_eq!(noise.bytes().len(), 64 << 10);
        for page in noise.bytes().chunks(4096) {
            let zeroes = page.iter().filter(|byte| **byte == 0).count();
            assert!(zeroes < 64, "{zeroes} zeroes");
        }
    }
}
