// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device's contents as they must be: an array of bytes that the same operations are done to.

use std::fmt::Write;

use blockyard_lab::{Guest, Result};

use crate::script;

const SECTOR: usize = 512;
/// Bytes of the longest operation.
const LONGEST: usize = 200 << 10;

/// The model of a view, and the origin that it began with.
#[derive(Debug)]
pub struct Model {
    origin: Vec<u8>,
    now: Vec<u8>,
    /// What is written, from here or there.
    source: Vec<u8>,
    random: Random,
}

impl Model {
    /// Fills a disk with random bytes (also to be found in `/tmp/origin`); the model of a view of it.
    pub fn new(guest: &Guest, disk: &str, size: usize) -> Result<Self> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (origin, source) = (random.bytes(size), random.bytes(2 * LONGEST));
        guest.write("/tmp/origin", &origin)?;
        guest.write("/tmp/source", &source)?;
        script(guest, &format!("dd if=/tmp/origin of={disk} bs=1M oflag=direct status=none"))?;
        Ok(Self { now: origin.clone(), origin, source, random })
    }

    /// Back to the origin.
    pub fn reset(&mut self) {
        self.now.clone_from(&self.origin);
    }

    /// Writes, discards and zeroes at random, a device and the model alike.
    pub fn operate(&mut self, guest: &Guest, device: &str, count: usize) -> Result<()> {
        let mut lines = String::new();
        for _ in 0..count {
            let line = self.operation(device);
            writeln!(lines, "{line}").expect("a string takes it");
        }
        script(guest, &lines).map(drop)
    }

    /// Does one operation to the model; the command that does it to the device.
    fn operation(&mut self, device: &str) -> String {
        // Some are long; most are a few sectors, and so find pages of which others have written a part.
        let most = if self.random.below(4) == 0 { LONGEST } else { 12 * SECTOR };
        let len = (1 + self.random.below(most / SECTOR)) * SECTOR;
        let from = self.random.below((self.source.len() - len) / SECTOR + 1) * SECTOR;
        // In a part of the device, so that they meet.
        let room = if self.random.below(2) == 0 { 1 << 20 } else { self.now.len() };
        let at = self.random.below((room - len) / SECTOR + 1) * SECTOR;
        let to = &mut self.now[at..at + len];
        match self.random.below(8) {
            0 => {
                to.fill(0);
                format!("blkdiscard -f -o {at} -l {len} {device}")
            }
            1 => {
                to.fill(0);
                format!("blkdiscard -f -z -o {at} -l {len} {device}")
            }
            _ => {
                to.copy_from_slice(&self.source[from..from + len]);
                format!(
                    "dd if=/tmp/source of={device} bs={len} count=1 iflag=skip_bytes,fullblock skip={from} \
                     oflag=direct,seek_bytes seek={at} status=none"
                )
            }
        }
    }

    /// Reads the device, in pieces of several sizes, and fails unless it is as the model.
    pub fn compare(&self, guest: &Guest, device: &str) -> Result<()> {
        guest.write("/tmp/model", &self.now)?;
        let read = |bytes| format!("dd if={device} bs={bytes} iflag=direct status=none | cmp - /tmp/model");
        let lines: Vec<String> = [3 * SECTOR * 17, 4096 * 16, 1 << 20].map(read).to_vec();
        script(guest, &lines.join("\n")).map(drop)
    }
}

/// Numbers that look random, and are the same each time: xorshift64*.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number less than `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}
