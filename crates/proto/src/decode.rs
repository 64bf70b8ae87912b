// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes to frames, and how a conversation finds its beginning.
//!
//! A port has no connections. When a lab process is killed in the middle of a frame and the next one
//! connects, the agent sees half a frame and then, perhaps, a greeting; the new lab may see the
//! rest of an answer that was meant for the old one. So a [`Decoder`] starts out *searching*: it
//! skips whatever is not a greeting. From then on it is *locked*, and any bytes that are no frame are an error.
//!
//! An agent that is still locked on the dead conversation would take the greeting for the rest of the half
//! frame. Therefore a lab sends [`padding`] first, more zeroes than a frame can lack; between frames zeroes
//! mean nothing.

use crate::MAX_FRAME;
use crate::frame::{Frame, HEADER, MARKER};

/// What makes a byte stream no conversation.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Bytes where a frame should begin.
    #[error("the bytes {0:02x?} begin no frame")]
    Garbage([u8; 2]),
    /// A frame above the limit.
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// A frame of the right form that holds no message.
    #[error("a frame holds no message that this version knows: {0}")]
    Malformed(#[from] postcard::Error),
    /// Bytes after the message, within its frame.
    #[error("a message is followed by {0} bytes that do not belong to it")]
    Trailing(usize),
    /// More data than there was credit for.
    #[error("stream {stream} sent {bytes} bytes more than it had credit for")]
    Overrun {
        /// The stream.
        stream: u32,
        /// How many too many.
        bytes: u32,
    },
}

/// Zeroes enough to complete any half frame that a predecessor left behind.
pub fn padding() -> Vec<u8> {
    vec![0; MAX_FRAME]
}

/// No greeting is longer; a longer "frame" found while searching is none.
const MAX_GREETING: usize = 64;

/// Takes bytes as they come, gives frames as they are whole.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    locked: bool,
}

impl Decoder {
    /// One that searches for a greeting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes. Holds at most one frame and what one read brought after it, if the caller takes all frames
    /// before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Searches for a greeting again, from here.
    pub fn search(&mut self) {
        self.locked = false;
    }

    /// The next whole frame, or `None` until more bytes come. After an error nothing in the buffer can be
    /// trusted: the conversation is over, and the decoder searches again.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        let next = if self.locked { self.next_locked() } else { Ok(self.next_greeting()) };
        self.locked = match &next {
            Ok(Some(_)) => true,
            Ok(None) => self.locked,
            Err(_) => false,
        };
        next
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn next_locked(&mut self) -> Result<Option<Frame>, ProtocolError> {
        self.start += self.rest().iter().take_while(|b| **b == 0).count();
        let Some((marker, length)) = header(self.rest()) else { return Ok(None) };
        if marker != MARKER {
            return Err(ProtocolError::Garbage(marker));
        }
        if length > MAX_FRAME - HEADER {
            return Err(ProtocolError::TooLong(length.saturating_add(HEADER)));
        }
        let Some(payload) = self.rest().get(HEADER..HEADER + length) else { return Ok(None) };
        let (frame, left) = postcard::take_from_bytes(payload)?;
        if !left.is_empty() {
            return Err(ProtocolError::Trailing(left.len()));
        }
        self.start += HEADER + length;
        Ok(Some(frame))
    }

    /// Skips up to the next greeting. What may still become one is kept.
    fn next_greeting(&mut self) -> Option<Frame> {
        loop {
            let rest = self.rest();
            let skip = rest.iter().position(|b| *b == MARKER[0]).unwrap_or(rest.len());
            self.start += skip;
            let (marker, length) = header(self.rest())?;
            if marker == MARKER && length <= MAX_GREETING {
                let payload = self.rest().get(HEADER..HEADER + length)?;
                if let Ok(frame) = postcard::from_bytes::<Frame>(payload)
                    && frame.is_greeting()
                {
                    self.start += HEADER + length;
                    return Some(frame);
                }
            }
            self.start += 1;
        }
    }
}

fn header(bytes: &[u8]) -> Option<([u8; 2], usize)> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let [a, b, length @ ..] = *header;
    Some(([a, b], usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Channel, MAX_DATA};

    fn decoder_after_greeting() -> Decoder {
        let mut decoder = Decoder::new();
        decoder.push(&Frame::hello(7).encode().unwrap());
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame::hello(7)));
        decoder
    }

    fn data(stream: u32, bytes: Vec<u8>) -> Frame {
        Frame::Data { stream, channel: Channel::Out, bytes }
    }

    #[test]
    fn the_longest_data_frame_fits() {
        assert!(data(u32::MAX, vec![1; MAX_DATA]).encode().unwrap().len() <= 32 * 1024);
    }

    #[test]
    fn a_frame_over_the_limit_is_not_sent() {
        assert!(matches!(data(1, vec![0; MAX_FRAME]).encode(), Err(ProtocolError::TooLong(_))));
    }

    #[test]
    fn a_length_over_the_limit_is_an_error_and_not_an_allocation() {
        let mut decoder = decoder_after_greeting();
        decoder.push(&[MARKER[0], MARKER[1], 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_frame(), Err(ProtocolError::TooLong(_))));
    }

    #[test]
    fn garbage_after_the_greeting_is_an_error() {
        let mut decoder = decoder_after_greeting();
        decoder.push(b"login: root\n");
        assert!(matches!(decoder.next_frame(), Err(ProtocolError::Garbage(_))));
    }

    #[test]
    fn a_greeting_is_found_after_a_frame_that_was_cut_anywhere() {
        let cut = data(3, (0..MAX_DATA).map(|i| i as u8).collect()).encode().unwrap();
        for at in [1, 2, 5, 6, 7, 100, cut.len() - 1] {
            let mut decoder = decoder_after_greeting();
            decoder.push(&cut[..at]);
            while let Ok(Some(_)) = decoder.next_frame() {}
            decoder.push(&padding());
            decoder.push(&Frame::hello(9).encode().unwrap());
            let mut frames = std::iter::repeat_with(|| decoder.next_frame()).take(8);
            assert!(frames.any(|f| matches!(f, Ok(Some(f)) if f == Frame::hello(9))), "cut at {at}");
        }
    }

    #[test]
    fn the_rest_of_an_old_answer_is_skipped() {
        let old = data(3, vec![MARKER[0]; 1000]).encode().unwrap();
        let mut decoder = Decoder::new();
        decoder.push(&old[37..]);
        decoder.push(&Frame::welcome(5).encode().unwrap());
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame::welcome(5)));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..8),
            step in 1_usize..700,
        ) {
            let frames: Vec<Frame> = payloads.into_iter().enumerate().map(|(i, p)| data(i as u32, p)).collect();
            let wire: Vec<u8> = frames.iter().flat_map(|f| f.encode().unwrap()).collect();
            let mut decoder = decoder_after_greeting();
            let mut got = Vec::new();
            for chunk in wire.chunks(step) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic_or_hoard(bytes in prop::collection::vec(any::<u8>(), 0..5000), locked: bool) {
            let mut decoder = if locked { decoder_after_greeting() } else { Decoder::new() };
            for chunk in bytes.chunks(97) {
                decoder.push(chunk);
                while let Ok(Some(_)) = decoder.next_frame() {}
                prop_assert!(decoder.buffer.len() <= MAX_FRAME + 97 + MAX_GREETING);
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0_usize..200, with in 1_u8..) {
            let mut wire = data(1, vec![5; 180]).encode().unwrap();
            let at = at % wire.len();
            wire[at] ^= with;
            let mut decoder = decoder_after_greeting();
            decoder.push(&wire);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
