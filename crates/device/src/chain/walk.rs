// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a descriptor to the message that it is the head of.
//!
//! The walk trusts nothing. It reads each descriptor once, into a value, and checks that value; what the driver does to the
//! table afterwards changes nothing. It ends after as many steps as the table has entries, so a loop is a chain that
//! is too long. `virtio-queue` has an iterator over descriptors, too; it ends at a broken descriptor as if the chain
//! ended there, and a device must not take half a message for a whole one.

use virtio_queue::desc::split::Descriptor;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use super::Piece;
use crate::Memory;

/// The longest indirect table that is followed. A driver "MUST NOT create a descriptor chain longer than the Queue Size"
/// (2.7.5.3.1), indirect or not, but Linux bounds its chains by what the device says of segments alone. This is
/// QEMU's bound for any chain.
pub const MAX_INDIRECT: u32 = 1024;

/// The bytes of a descriptor in memory.
pub const DESCRIPTOR_BYTES: u64 = 16;

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The head, or a `next`, is not in the table.
    #[error("descriptor {index} of a table of {size}")]
    Index {
        /// The descriptor.
        index: u16,
        /// How many there are.
        size: u32,
    },
    /// It has more links than the table has entries: a loop, most likely.
    #[error("a chain of more than {limit} descriptors")]
    Long {
        /// The most that there may be.
        limit: u32,
    },
    /// A buffer or a table is not, or not wholly, in memory that the guest shares.
    #[error("{len} bytes at {address:#x}, which is not the guest's memory")]
    Memory {
        /// Where it begins.
        address: u64,
        /// Its length.
        len: u64,
    },
    /// "The driver MUST place any device-writable descriptor elements after any device-readable descriptor elements"
    /// (2.7.4.2).
    #[error("descriptor {index} is for reading, after one for writing")]
    Direction {
        /// The descriptor.
        index: u16,
    },
    /// "The driver MUST NOT set the VIRTQ_DESC_F_INDIRECT flag within an indirect descriptor" (2.7.5.3.1).
    #[error("an indirect table within an indirect table, at its descriptor {index}")]
    Nested {
        /// The descriptor.
        index: u16,
    },
    /// "A driver MUST NOT set both VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_NEXT in flags" (2.7.5.3.1).
    #[error("descriptor {index} has both an indirect table and a next descriptor")]
    IndirectNext {
        /// The descriptor.
        index: u16,
    },
    /// An indirect table is a whole number of descriptors, at least one and at most [`MAX_INDIRECT`].
    #[error("an indirect table of {len} bytes")]
    IndirectLength {
        /// Its length in bytes.
        len: u32,
    },
    /// "Drivers MUST NOT add a descriptor chain longer than 2^32 bytes in total" (2.7.5.2).
    #[error("a chain of more than 2^32 bytes")]
    Bytes,
}

/// Who wants to see each descriptor that is read. Nobody, usually.
pub trait Witness {
    /// This descriptor was read, the `index`th of an indirect table or of the queue's own.
    fn saw(&mut self, indirect: bool, index: u16, descriptor: &Descriptor);
}

impl Witness for () {
    fn saw(&mut self, _indirect: bool, _index: u16, _descriptor: &Descriptor) {}
}

/// A descriptor table in guest memory.
#[derive(Debug, Clone, Copy)]
struct Table {
    address: GuestAddress,
    size: u32,
    indirect: bool,
}

impl Table {
    fn read(&self, memory: &Memory, index: u16) -> Result<Descriptor, Broken> {
        if u32::from(index) >= self.size {
            return Err(Broken::Index { index, size: self.size });
        }
        let offset = u64::from(index) * DESCRIPTOR_BYTES;
        let outside = Broken::Memory { address: self.address.0.wrapping_add(offset), len: DESCRIPTOR_BYTES };
        let address = self.address.0.checked_add(offset).ok_or(outside)?;
        memory.read_obj(GuestAddress(address)).map_err(|_| outside)
    }

    /// The table that this descriptor refers to.
    fn below(&self, index: u16, descriptor: &Descriptor) -> Result<Self, Broken> {
        if self.indirect {
            return Err(Broken::Nested { index });
        }
        if descriptor.has_next() {
            return Err(Broken::IndirectNext { index });
        }
        let len = descriptor.len();
        let size = len / DESCRIPTOR_BYTES as u32;
        if size == 0 || size > MAX_INDIRECT || !len.is_multiple_of(DESCRIPTOR_BYTES as u32) {
            return Err(Broken::IndirectLength { len });
        }
        Ok(Self { address: descriptor.addr(), size, indirect: true })
    }
}

/// Puts the message whose head is descriptor `head` of the queue's table into `pieces`, which is cleared first. Gives the
/// number of pieces that are for reading; the others are for writing.
///
/// A descriptor of no bytes adds nothing to the message, wherever it points.
pub fn walk<'m>(
    memory: &'m Memory,
    table: GuestAddress,
    size: u16,
    head: u16,
    pieces: &mut Vec<Piece<'m>>,
    witness: &mut impl Witness,
) -> Result<usize, Broken> {
    let mut table = Table { address: table, size: u32::from(size), indirect: false };
    let mut index = head;
    let mut message = Message { memory, pieces, readable: 0, writing: false, bytes: 0 };
    message.pieces.clear();
    let mut steps = 0;
    loop {
        if steps == table.size {
            return Err(Broken::Long { limit: table.size });
        }
        steps += 1;
        let descriptor = table.read(memory, index)?;
        witness.saw(table.indirect, index, &descriptor);
        if descriptor.refers_to_indirect_table() {
            table = table.below(index, &descriptor)?;
            (index, steps) = (0, 0);
            continue;
        }
        message.add(index, &descriptor)?;
        if !descriptor.has_next() {
            return Ok(message.readable);
        }
        index = descriptor.next();
    }
}

/// The message as far as it is known.
struct Message<'p, 'm> {
    memory: &'m Memory,
    pieces: &'p mut Vec<Piece<'m>>,
    readable: usize,
    writing: bool,
    bytes: u64,
}

impl Message<'_, '_> {
    fn add(&mut self, index: u16, descriptor: &Descriptor) -> Result<(), Broken> {
        if descriptor.is_write_only() {
            self.writing = true;
        } else if self.writing {
            return Err(Broken::Direction { index });
        }
        self.bytes += u64::from(descriptor.len());
        if self.bytes > 1 << 32 {
            return Err(Broken::Bytes);
        }
        self.translate(descriptor)?;
        if !self.writing {
            self.readable = self.pieces.len();
        }
        Ok(())
    }

    /// Finds the buffer in our own memory. It may lie across two regions, and is then in two pieces.
    fn translate(&mut self, descriptor: &Descriptor) -> Result<(), Broken> {
        let outside = Broken::Memory { address: descriptor.addr().0, len: u64::from(descriptor.len()) };
        let mut address = descriptor.addr();
        for slice in GuestMemoryBackend::get_slices(self.memory, address, descriptor.len() as usize) {
            let slice = slice.map_err(|_| outside)?;
            self.pieces.push(Piece { address, slice });
            address = GuestAddress(address.0.checked_add(slice.len() as u64).ok_or(outside)?);
        }
        Ok(())
    }
}
