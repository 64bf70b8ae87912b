// SPDX-License-Identifier: MIT OR Apache-2.0
//! One frame: a marker, a length, and a message in postcard's encoding.

use serde::{Deserialize, Serialize};

use crate::decode::ProtocolError;
use crate::message::{Outcome, Request};
use crate::{MAX_FRAME, VERSION};

/// Begins every frame. Not text and not zero, so that neither is taken for one.
pub(crate) const MARKER: [u8; 2] = [0xb1, 0x0c];
/// Marker and length.
pub(crate) const HEADER: usize = 6;
/// What only a greeting holds, so that one is known among the leftovers of another conversation.
pub(crate) const MAGIC: [u8; 16] = *b"\xb1\x0cblockyardhello";

/// A direction of a stream's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// To the guest: a command's standard input, a file's new content.
    In,
    /// From the guest: standard output, a file's content, the kernel log.
    Out,
    /// From the guest: standard error.
    Err,
}

impl Channel {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 3] = [Self::In, Self::Out, Self::Err];

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// What travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// Lab to agent: a conversation begins; whatever was before is over. The layout of this one and of
    /// `Welcome` never changes, so that different versions can tell each other so.
    Hello {
        /// Always the same bytes.
        magic: [u8; 16],
        /// The lab's [`VERSION`].
        version: u16,
        /// Tells this conversation from the one before.
        nonce: u64,
    },
    /// Agent to lab: the answer.
    Welcome {
        /// Always the same bytes.
        magic: [u8; 16],
        /// The agent's [`VERSION`].
        version: u16,
        /// That of the `Hello`.
        nonce: u64,
    },
    /// Lab to agent: the conversation ends in good order; what was left running may go on.
    Bye,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// Lab to agent: a new stream, and what is wanted.
    Open {
        /// Chosen by the lab, never used twice in a conversation.
        stream: u32,
        /// What to do.
        request: Request,
    },
    /// Bytes on a channel.
    Data {
        /// The stream.
        stream: u32,
        /// Its channel.
        channel: Channel,
        /// At most [`MAX_DATA`](crate::MAX_DATA) of them, and never more than the credit.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// No more bytes on this channel.
    End {
        /// The stream.
        stream: u32,
        /// Its channel.
        channel: Channel,
    },
    /// The reader of a channel has used up bytes: so many more may be sent.
    Credit {
        /// The stream.
        stream: u32,
        /// Its channel.
        channel: Channel,
        /// How many more.
        bytes: u32,
    },
    /// Lab to agent: send this signal to the process group of the stream's command.
    Signal {
        /// The stream.
        stream: u32,
        /// As in signal(7).
        signal: i32,
    },
    /// Lab to agent: the size of the terminal at the lab's end of the console.
    Resize {
        /// The stream.
        stream: u32,
        /// Rows of text.
        rows: u16,
        /// Columns of text.
        columns: u16,
    },
    /// Lab to agent: nobody waits for this stream any more; end what it started.
    Cancel {
        /// The stream.
        stream: u32,
    },
    /// Agent to lab: how it ended; the stream's last frame.
    Close {
        /// The stream.
        stream: u32,
        /// Success is only what says so.
        outcome: Outcome,
    },
}

impl Frame {
    /// The lab's greeting.
    pub fn hello(nonce: u64) -> Self {
        Self::Hello { magic: MAGIC, version: VERSION, nonce }
    }

    /// The agent's answer to it.
    pub fn welcome(nonce: u64) -> Self {
        Self::Welcome { magic: MAGIC, version: VERSION, nonce }
    }

    /// The frame's bytes, header included; an error if there are more than [`MAX_FRAME`].
    pub fn encode(&self) -> Result<Vec<u8>, ProtocolError> {
        let mut bytes = Vec::with_capacity(HEADER + 64);
        bytes.extend_from_slice(&MARKER);
        bytes.extend_from_slice(&[0; 4]);
        let mut bytes = postcard::to_extend(self, bytes)?;
        if bytes.len() > MAX_FRAME {
            return Err(ProtocolError::TooLong(bytes.len()));
        }
        let length = (bytes.len() - HEADER) as u32;
        bytes[2..HEADER].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }

    /// Whether this opens a conversation.
    pub(crate) fn is_greeting(&self) -> bool {
        matches!(self, Self::Hello { magic, .. } | Self::Welcome { magic, .. } if *magic == MAGIC)
    }
}
