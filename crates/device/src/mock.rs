// SPDX-License-Identifier: MIT OR Apache-2.0
//! A driver for tests, and the guest's memory that it lives in: no guest, no QEMU, no socket.
//!
//! [`Driver`] is the driver's side of one split virtqueue. It lays out messages as a good driver does, cut as a test says;
//! and it writes any nonsense to any place of the rings, as a good driver never would. [`Rig`] puts a device behind it, and
//! turns the crank one round at a time.
//!
//! It does not share a line with the device's side: what both got wrong in the same way, no test would find. It
//! panics where a test is at fault.

pub mod fuzz;
mod rig;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestAddressSpace, GuestMemoryAtomic};

pub use self::rig::Rig;
use crate::{Memory, MemoryHold};

/// `VIRTQ_DESC_F_NEXT`.
pub const NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE`.
pub const WRITE: u16 = 2;
/// `VIRTQ_DESC_F_INDIRECT`.
pub const INDIRECT: u16 = 4;

/// Where guest memory ends: two regions, which meet in the middle, so that a buffer there is in two pieces for the device.
pub const MEMORY_END: u64 = 4 << 20;
/// Where the two regions meet.
pub const SEAM: u64 = 2 << 20;

const TABLE: u64 = 0x1000;
const AVAIL: u64 = 0x8000;
const USED: u64 = 0x1_0000;
/// Where buffers begin.
const HEAP: u64 = 0x10_0000;

/// The memory of a guest that is not there: a memfd, so that another process can have it, too.
pub fn memory() -> MemoryHold {
    let file = memfd_create("mock-guest", MemfdFlags::CLOEXEC).expect("a memfd");
    ftruncate(&file, MEMORY_END).expect("four MiB of memory");
    let file = Arc::new(File::from(file));
    let half = |start: u64, end: u64| {
        (GuestAddress(start), (end - start) as usize, Some(FileOffset::from_arc(file.clone(), start)))
    };
    let memory =
        Memory::from_ranges_with_files([half(0, SEAM), half(SEAM, MEMORY_END)]).expect("four MiB of memory");
    GuestMemoryAtomic::new(memory).memory()
}

/// A part of a message: one descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Bytes that the device reads.
    Read(Vec<u8>),
    /// Room that the device writes to, so many bytes.
    Write(usize),
}

/// A descriptor, as it lies in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raw {
    /// Where the buffer is.
    pub address: u64,
    /// Its length.
    pub len: u32,
    /// [`NEXT`], [`WRITE`], [`INDIRECT`].
    pub flags: u16,
    /// The next in the chain.
    pub next: u16,
}

/// A message that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The descriptor that it was made available by.
    pub head: u16,
    /// How many bytes the device says it has written.
    pub written: u32,
    /// All bytes that it could write to, as they are now.
    pub bytes: Vec<u8>,
}

/// A message that is with the device.
struct Sent {
    head: u16,
    descriptors: Vec<u16>,
    /// Where the device may write, and how much.
    room: Vec<(u64, usize)>,
}

/// The driver's side of a queue.
pub struct Driver {
    memory: MemoryHold,
    size: u16,
    event_idx: bool,
    free: Vec<u16>,
    with_device: Vec<Sent>,
    available: u16,
    used: u16,
    heap: u64,
}

impl Driver {
    /// A queue of so many entries at a fixed place of this memory.
    pub fn new(memory: MemoryHold, size: u16, event_idx: bool) -> Self {
        Self {
            memory,
            size,
            event_idx,
            free: (0..size).rev().collect(),
            with_device: Vec::new(),
            available: 0,
            used: 0,
            heap: HEAP,
        }
    }

    /// Its three parts: descriptor table, available ring, used ring.
    pub fn addresses(&self) -> (u64, u64, u64) {
        (TABLE, AVAIL, USED)
    }

    /// How many entries it has.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Whether event indices were negotiated.
    pub fn has_event_idx(&self) -> bool {
        self.event_idx
    }

    /// The memory that it lives in.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Lays out a message, a descriptor for each part, and makes it available. Gives its head.
    pub fn send(&mut self, parts: &[Part]) -> u16 {
        let head = self.lay_out(parts);
        self.make_available(head);
        head
    }

    /// The same with an indirect table.
    pub fn send_indirect(&mut self, parts: &[Part]) -> u16 {
        let head = self.lay_out_indirect(parts);
        self.make_available(head);
        head
    }

    /// Lays out a message in descriptors that are free.
    pub fn lay_out(&mut self, parts: &[Part]) -> u16 {
        assert!(!parts.is_empty(), "a message has a part");
        let indices: Vec<u16> =
            parts.iter().map(|_| self.free.pop().expect("the queue has free descriptors")).collect();
        let mut room = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let raw = self.buffer(part, indices.get(i + 1).copied(), &mut room);
            self.write_descriptor(indices[i], raw);
        }
        let head = indices[0];
        self.with_device.push(Sent { head, descriptors: indices, room });
        head
    }

    fn lay_out_indirect(&mut self, parts: &[Part]) -> u16 {
        let table = self.take(16 * parts.len());
        let mut room = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let next = (i + 1 < parts.len()).then_some(i as u16 + 1);
            let raw = self.buffer(part, next, &mut room);
            self.write_raw(table + 16 * i as u64, raw);
        }
        let head = self.free.pop().expect("the queue has free descriptors");
        self.write_descriptor(
            head,
            Raw { address: table, len: 16 * parts.len() as u32, flags: INDIRECT, next: 0 },
        );
        self.with_device.push(Sent { head, descriptors: vec![head], room });
        head
    }

    fn buffer(&mut self, part: &Part, next: Option<u16>, room: &mut Vec<(u64, usize)>) -> Raw {
        let chained = if next.is_some() { NEXT } else { 0 };
        let next = next.unwrap_or(0);
        match part {
            Part::Read(bytes) => {
                let address = self.take(bytes.len());
                self.memory.write_slice(bytes, GuestAddress(address)).expect("in memory");
                Raw { address, len: bytes.len() as u32, flags: chained, next }
            }
            Part::Write(len) => {
                let address = self.take(*len);
                // So that a test sees what was written, and what was not.
                self.memory.write_slice(&vec![0xee; *len], GuestAddress(address)).expect("in memory");
                room.push((address, *len));
                Raw { address, len: *len as u32, flags: chained | WRITE, next }
            }
        }
    }

    /// Room for a buffer. It is used again once the end of memory was reached: tests have little under way.
    pub fn take(&mut self, len: usize) -> u64 {
        let len = (len as u64).next_multiple_of(16);
        if self.heap + len > MEMORY_END {
            self.heap = HEAP;
        }
        let address = self.heap;
        self.heap += len;
        assert!(self.heap <= MEMORY_END, "a message is smaller than memory");
        address
    }

    /// The next buffer lies across the two regions of memory, `before` bytes of it in the first.
    pub fn straddle(&mut self, before: u64) {
        self.heap = SEAM - before;
    }

    /// Puts a head into the available ring.
    pub fn make_available(&mut self, head: u16) {
        self.write_available(self.available, head);
        // The entry must be seen before the index that says that it is there (2.7.13.2).
        fence(Ordering::SeqCst);
        self.set_available_idx(self.available.wrapping_add(1));
    }

    /// Writes an entry of the available ring.
    pub fn write_available(&self, position: u16, head: u16) {
        self.store(AVAIL + 4 + 2 * u64::from(position % self.size), head);
    }

    /// Writes the index of the available ring, and goes on from there.
    pub fn set_available_idx(&mut self, idx: u16) {
        self.available = idx;
        self.store(AVAIL + 2, idx);
    }

    /// The index of the available ring.
    pub fn available_idx(&self) -> u16 {
        self.available
    }

    /// Writes a descriptor of the queue's table.
    pub fn write_descriptor(&self, index: u16, raw: Raw) {
        self.write_raw(TABLE + 16 * u64::from(index), raw);
    }

    /// Reads one.
    pub fn descriptor(&self, index: u16) -> Raw {
        let mut bytes = [0; 16];
        self.memory.read_slice(&mut bytes, GuestAddress(TABLE + 16 * u64::from(index))).expect("in memory");
        Raw {
            address: u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")),
            len: u32::from_le_bytes(bytes[8..12].try_into().expect("4 bytes")),
            flags: u16::from_le_bytes([bytes[12], bytes[13]]),
            next: u16::from_le_bytes([bytes[14], bytes[15]]),
        }
    }

    /// Writes a descriptor anywhere.
    pub fn write_raw(&self, address: u64, raw: Raw) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&raw.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&raw.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&raw.flags.to_le_bytes());
        bytes[14..].copy_from_slice(&raw.next.to_le_bytes());
        self.memory.write_slice(&bytes, GuestAddress(address)).expect("in memory");
    }

    /// The next message that has come back, if one has.
    pub fn used(&mut self) -> Option<Used> {
        if self.used == self.used_idx() {
            return None;
        }
        let entry = USED + 4 + 8 * u64::from(self.used % self.size);
        let id: u32 = self.memory.read_obj(GuestAddress(entry)).expect("in memory");
        let written: u32 = self.memory.read_obj(GuestAddress(entry + 4)).expect("in memory");
        self.used = self.used.wrapping_add(1);
        let head = u32::from_le(id) as u16;
        let at = self.with_device.iter().position(|sent| sent.head == head);
        let Sent { descriptors, room, .. } =
            self.with_device.remove(at.expect("the device gives back what it was given"));
        self.free.extend(descriptors.into_iter().rev());
        let mut bytes = Vec::new();
        for (address, len) in room {
            let mut buffer = vec![0; len];
            self.memory.read_slice(&mut buffer, GuestAddress(address)).expect("in memory");
            bytes.extend(buffer);
        }
        Some(Used { head, written: u32::from_le(written), bytes })
    }

    /// The index of the used ring.
    pub fn used_idx(&self) -> u16 {
        self.load(USED + 2)
    }

    /// Wants to be notified once the used index has passed this one (2.7.7.1).
    pub fn set_used_event(&self, idx: u16) {
        self.store(AVAIL + 4 + 2 * u64::from(self.size), idx);
    }

    /// Wants to be notified, or not, without event indices (2.7.7.1).
    pub fn set_no_interrupt(&self, flag: bool) {
        self.store(AVAIL, u16::from(flag));
    }

    /// Up to where the device wants no kick (2.7.10.1).
    pub fn avail_event(&self) -> u16 {
        self.load(USED + 4 + 8 * u64::from(self.size))
    }

    /// Whether the device wants no kick, without event indices.
    pub fn no_notify(&self) -> bool {
        self.load(USED) & 1 == 1
    }

    fn store(&self, address: u64, value: u16) {
        self.memory.write_obj(value.to_le(), GuestAddress(address)).expect("in memory");
    }

    fn load(&self, address: u64) -> u16 {
        u16::from_le(self.memory.read_obj(GuestAddress(address)).expect("in memory"))
    }
}
