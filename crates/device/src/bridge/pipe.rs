// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes in order, up to a number of them.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::chain::{Readable, Writable};

/// How many bytes are copied at a time where they must be contiguous.
const PIECE: usize = 16 << 10;

/// Bytes on their way.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    popped: u64,
    /// Bytes that made room for others.
    pub(super) forgotten: u64,
}

impl Pipe {
    /// An empty one. Memory is taken when there is something to hold.
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, popped: 0, forgotten: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many more it can hold.
    pub(super) fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// How many bytes have come out, ever.
    pub(super) fn popped(&self) -> u64 {
        self.popped
    }

    /// How many bytes have gone in, ever, those that were forgotten not counted.
    pub(super) fn pushed(&self) -> u64 {
        self.popped + self.bytes.len() as u64
    }

    /// Forgets the oldest until there is room for so many, or it is empty.
    pub(super) fn make_room(&mut self, wanted: usize) {
        let surplus = wanted.saturating_sub(self.room()).min(self.bytes.len());
        self.bytes.drain(..surplus);
        self.forgotten += surplus as u64;
    }

    /// Takes bytes for which there is room.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "who pushes has asked for the room");
        self.bytes.extend(bytes);
    }

    /// Takes as many as there is room for.
    pub(super) fn push_from(&mut self, from: &mut Readable<'_>) -> usize {
        let mut piece = [0; PIECE];
        let mut done = 0;
        loop {
            let wanted = PIECE.min(self.room());
            match from.read(&mut piece[..wanted]) {
                0 => return done,
                n => {
                    self.push(&piece[..n]);
                    done += n;
                }
            }
        }
    }

    /// Hands out as many as there is room for.
    pub(super) fn pop_to(&mut self, to: &mut Writable<'_>) -> usize {
        let (front, back) = self.bytes.as_slices();
        let done = to.write(front);
        let done = done + to.write(back);
        self.forget_front(done);
        done
    }

    /// Writes as many as are taken in one go.
    pub(super) fn pop_into(&mut self, to: &mut impl Write) -> io::Result<usize> {
        let done = to.write(self.bytes.as_slices().0)?;
        self.forget_front(done);
        Ok(done)
    }

    fn forget_front(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.popped += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_and_are_counted() {
        let mut pipe = Pipe::new(8);
        pipe.push(b"abcdef");
        assert_eq!((pipe.room(), pipe.pushed(), pipe.popped()), (2, 6, 0));
        let mut out = Vec::new();
        assert_eq!(pipe.pop_into(&mut out).unwrap(), 6);
        pipe.push(b"gh");
        pipe.pop_into(&mut out).unwrap();
        assert_eq!(out, b"abcdefgh");
        assert_eq!((pipe.pushed(), pipe.popped()), (8, 8));
    }

    #[test]
    fn room_is_made_by_forgetting_the_oldest() {
        let mut pipe = Pipe::new(4);
        pipe.push(b"abcd");
        pipe.make_room(3);
        pipe.push(b"xyz");
        assert_eq!(pipe.forgotten, 3);
        let mut out = Vec::new();
        while !pipe.is_empty() {
            pipe.pop_into(&mut out).unwrap();
        }
        assert_eq!(out, b"dxyz");
        pipe.make_room(100);
        assert_eq!(pipe.room(), 4, "there is no more than that");
    }
}
