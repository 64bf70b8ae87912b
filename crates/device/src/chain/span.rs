// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of bytes in guest memory, in as many pieces as the driver has made of them.

use vm_memory::{Bytes, VolatileSlice};

use super::Piece;

/// There are fewer bytes, or less room, than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes wanted, {left} left")]
pub struct Short {
    /// What was asked for.
    pub wanted: usize,
    /// What there was.
    pub left: usize,
}

/// A run of bytes: `pieces`, less `skip` bytes of the first and all that is beyond `len`.
#[derive(Debug, Clone, Copy)]
struct Span<'a> {
    pieces: &'a [Piece<'a>],
    skip: usize,
    len: usize,
}

impl<'a> Span<'a> {
    fn new(pieces: &'a [Piece<'a>]) -> Self {
        // A chain is at most 2^32 bytes, which the walk has checked.
        Self { pieces, skip: 0, len: pieces.iter().map(|piece| piece.slice.len()).sum() }
    }

    /// The first `n` bytes, and the others.
    fn split_at(self, n: usize) -> Result<(Self, Self), Short> {
        if n > self.len {
            return Err(Short { wanted: n, left: self.len });
        }
        let front = Self { len: n, ..self };
        let mut back = Self { len: self.len - n, ..self };
        back.skip += n;
        while let Some(first) = back.pieces.first()
            && back.skip >= first.slice.len()
        {
            back.skip -= first.slice.len();
            back.pieces = &back.pieces[1..];
        }
        Ok((front, back))
    }

    /// Its bytes, piece by piece.
    fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        let mut skip = self.skip;
        let mut left = self.len;
        self.pieces.iter().map_while(move |piece| {
            let count = left.min(piece.slice.len() - skip);
            if count == 0 {
                return None;
            }
            // In bounds: `skip` is less than the first piece's length by the invariant of `split_at`, and 0 after.
            let slice = piece.slice.subslice(skip, count).ok()?;
            let address = vm_memory::GuestAddress(piece.address.0 + skip as u64);
            left -= count;
            skip = 0;
            Some(Piece { address, slice })
        })
    }
}

/// What the driver says: bytes that the device reads.
#[derive(Debug, Clone, Copy)]
pub struct Readable<'a>(Span<'a>);

impl<'a> Readable<'a> {
    /// All bytes of these pieces.
    pub(crate) fn new(pieces: &'a [Piece<'a>]) -> Self {
        Self(Span::new(pieces))
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `n` bytes, and the others.
    pub fn split_at(self, n: usize) -> Result<(Self, Self), Short> {
        self.0.split_at(n).map(|(front, back)| (Self(front), Self(back)))
    }

    /// Reads as many bytes as there are and fit; goes on after them. Gives their number.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let wanted = buffer.len().min(self.len());
        let mut done = 0;
        for piece in (Span { len: wanted, ..self.0 }).pieces() {
            done += piece.slice.copy_to(&mut buffer[done..]);
        }
        if let Ok((_, rest)) = self.0.split_at(done) {
            self.0 = rest;
        }
        done
    }

    /// Reads exactly so many bytes, or none.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), Short> {
        if buffer.len() > self.len() {
            return Err(Short { wanted: buffer.len(), left: self.len() });
        }
        self.read(buffer);
        Ok(())
    }

    /// Copies all of it to memory that others may use at the same time; gives the number of bytes that fitted.
    pub fn copy_to(self, target: &VolatileSlice<'_, ()>) -> usize {
        let mut done = 0;
        for piece in self.0.pieces() {
            let Ok(rest) = target.offset(done) else { break };
            piece.slice.copy_to_volatile_slice(rest);
            done += piece.slice.len().min(rest.len());
        }
        done
    }

    /// Its pieces, for a system call.
    pub fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        self.0.pieces()
    }
}

/// Room for the answer: bytes that the device writes.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a>(Span<'a>);

impl<'a> Writable<'a> {
    /// All bytes of these pieces.
    pub(crate) fn new(pieces: &'a [Piece<'a>]) -> Self {
        Self(Span::new(pieces))
    }

    /// How many bytes there is room for.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Room for `n` bytes, and the rest.
    pub fn split_at(self, n: usize) -> Result<(Self, Self), Short> {
        self.0.split_at(n).map(|(front, back)| (Self(front), Self(back)))
    }

    /// Writes as many bytes as there is room for; goes on after them. Gives their number.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let wanted = bytes.len().min(self.len());
        let mut done = 0;
        for piece in (Span { len: wanted, ..self.0 }).pieces() {
            let count = piece.slice.len();
            piece.slice.copy_from(&bytes[done..done + count]);
            done += count;
        }
        if let Ok((_, rest)) = self.0.split_at(done) {
            self.0 = rest;
        }
        done
    }

    /// Writes all of these bytes, or none.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), Short> {
        if bytes.len() > self.len() {
            return Err(Short { wanted: bytes.len(), left: self.len() });
        }
        self.write(bytes);
        Ok(())
    }

    /// Fills it from memory that others may use at the same time; gives the number of bytes that there were.
    pub fn copy_from(self, source: &VolatileSlice<'_, ()>) -> usize {
        let mut done = 0;
        for piece in self.0.pieces() {
            let Ok(rest) = source.offset(done) else { break };
            rest.copy_to_volatile_slice(piece.slice);
            done += piece.slice.len().min(rest.len());
        }
        done
    }

    /// Its pieces, for a system call.
    pub fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        self.0.pieces()
    }

    /// Reads from `source` right into it, until it is full or the source gives nothing; gives the number of bytes.
    pub fn read_from(self, source: &mut impl vm_memory::ReadVolatile) -> std::io::Result<usize> {
        let mut done = 0;
        for piece in self.0.pieces() {
            let count = piece.slice.read_volatile_from(0, source, piece.slice.len());
            let count = count.map_err(std::io::Error::other)?;
            done += count;
            if count < piece.slice.len() {
                break;
            }
        }
        Ok(done)
    }
}
