// SPDX-License-Identifier: GPL-2.0

//! A message: what is sent, and the room for what comes back.
//!
//! To the device a message is one run of bytes that it reads and one that it writes. The memory lies
//! in pieces, for a longest message in one piece would take memory that is rarely to be had. How
//! long they are is for the program to say, as this is an example.

use blockyard_abi::virtio_hello as abi;
use blockyard_abi::virtio_hello_echo::Way;
use kernel::{
    alloc::{flags, Flags},
    iov::{IovIterDest, IovIterSource},
    prelude::*,
};
use kit::{
    errno::{EBADMSG, EOPNOTSUPP, EPROTO},
    virtio::{Buffers, Readable, Writable},
};
use zerocopy::IntoBytes;

/// The longest message that the driver takes, whatever the device would.
pub(crate) const LONGEST: usize = 64 << 20;
/// The most pieces of memory that a chain has, the two headers included.
pub(crate) const MOST_PIECES: usize = 128;
/// How long a piece is if nobody says. The kernel's allocator tries hard up to this length.
const PIECE: usize = 32 << 10;

/// Memory in pieces.
type Pieces = KVec<KVec<u8>>;

/// A message.
pub(crate) struct Message {
    request: abi::EchoRequest,
    payload: Pieces,
    reply: abi::EchoReply,
    room: Pieces,
    /// Whose it is: an index into [`Inboxes`](crate::echo::Inboxes).
    pub(crate) inbox: usize,
}

impl Buffers for Message {
    fn describe<'a>(&'a mut self, readable: &mut Readable<'a>, writable: &mut Writable<'a>) {
        readable.bytes(self.request.as_bytes());
        for piece in &self.payload {
            readable.bytes(piece);
        }
        writable.bytes(self.reply.as_mut_bytes());
        for piece in &mut self.room {
            writable.bytes(piece);
        }
    }
}

impl Message {
    /// A message of what a program has written, for a queue with so many descriptors. `EFAULT` if it
    /// cannot be read.
    pub(crate) fn read(
        from: &mut IovIterSource<'_>,
        way: Way,
        checksums: bool,
        descriptors: usize,
        inbox: usize,
    ) -> Result<Self> {
        let len = from.len();
        // A header and at least one piece, each way.
        let most = (descriptors.min(MOST_PIECES) / 2).saturating_sub(1).max(1);
        let mut payload = cut(len, way.request_piece as usize, most)?;
        let mut checksum = abi::Checksum::new();
        for piece in &mut payload {
            if from.copy_from_iter(piece) < piece.len() {
                return Err(EFAULT);
            }
            if checksums {
                checksum.update(piece);
            }
        }
        let checksum = if checksums { checksum.value() } else { 0 };
        Ok(Self {
            request: abi::EchoRequest {
                op: way.op.into(),
                length: (len as u32).into(),
                checksum: checksum.into(),
                tag: 0.into(),
            },
            payload,
            reply: abi::EchoReply {
                // The device overwrites it.
                status: u32::MAX.into(),
                length: 0.into(),
                checksum: 0.into(),
                tag: 0.into(),
            },
            room: cut(len, way.reply_piece as usize, most)?,
            inbox,
        })
    }

    /// How many bytes of payload it has.
    pub(crate) fn len(&self) -> usize {
        self.request.length.get() as usize
    }

    /// What tells it from others of its file: their order.
    pub(crate) fn tag(&self) -> u32 {
        self.request.tag.get()
    }

    pub(crate) fn set_tag(&mut self, tag: u32) {
        self.request.tag = tag.into();
    }

    /// Whether the device has answered, and as it should. It says that it has written so many bytes.
    pub(crate) fn judge(&self, written: usize, checksums: bool) -> Result {
        let reply = &self.reply;
        let payload = written.checked_sub(size_of_val(reply)).ok_or(EPROTO)?;
        if reply.tag != self.request.tag {
            return Err(EPROTO);
        }
        match reply.status.get() {
            abi::STATUS_OK => {}
            abi::STATUS_UNSUPPORTED => return Err(EOPNOTSUPP),
            abi::STATUS_LENGTH => return Err(EMSGSIZE),
            abi::STATUS_CHECKSUM => return Err(EBADMSG),
            // It had the room.
            _ => return Err(EPROTO),
        }
        if reply.length != self.request.length || payload < self.len() {
            return Err(EPROTO);
        }
        if checksums && self.checksum() != reply.checksum.get() {
            return Err(EBADMSG);
        }
        Ok(())
    }

    /// The checksum of what has come back.
    fn checksum(&self) -> u32 {
        let mut checksum = abi::Checksum::new();
        for piece in &self.room {
            checksum.update(piece);
        }
        checksum.value()
    }

    /// Copies what has come back, from this byte on; gives how much was copied.
    pub(crate) fn write(&self, from: usize, to: &mut IovIterDest<'_>) -> usize {
        let (mut skip, mut copied) = (from, 0);
        for piece in &self.room {
            let rest = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            let wanted = rest.len().min(to.len());
            let got = to.copy_to_iter(&rest[..wanted]);
            copied += got;
            if got < wanted || to.is_empty() {
                break;
            }
        }
        copied
    }
}

/// How memory is asked for. A program decides how much it is, so it is on that program's account; and
/// if there is none, that is no news for the kernel's log.
fn memory() -> Flags {
    flags::GFP_KERNEL_ACCOUNT | flags::__GFP_NOWARN
}

/// Memory in pieces of this length (0: as we like), but no more than `most`.
fn cut(len: usize, piece: usize, most: usize) -> Result<Pieces> {
    let wanted = if piece == 0 { PIECE } else { piece };
    let piece = wanted.max(len.div_ceil(most));
    let mut pieces = KVec::with_capacity(len.div_ceil(piece), memory())?;
    let mut rest = len;
    while rest > 0 {
        let this = piece.min(rest);
        pieces.push(KVec::from_elem(0, this, memory())?, memory())?;
        rest -= this;
    }
    Ok(pieces)
}
