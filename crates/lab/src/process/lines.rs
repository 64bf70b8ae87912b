// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes in, lines out: a child's output arrives in pieces that end anywhere.

/// Longest line kept whole; a longer one is handed on in pieces, so that a child that never ends its line
/// cannot fill our memory.
const LONGEST: usize = 64 * 1024;

/// What has come of a line that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Calls `f` for each line that `bytes` ends. A carriage return ends a line too: progress meters use it.
    pub(super) fn feed(&mut self, bytes: &[u8], mut f: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|&b| b == b'\n' || b == b'\r') {
            self.partial.extend_from_slice(piece);
            let ended = matches!(piece.last(), Some(b'\n' | b'\r'));
            if ended || self.partial.len() >= LONGEST {
                self.flush(&mut f);
            }
        }
    }

    /// Calls `f` for a last line that no newline ended.
    pub(super) fn flush(&mut self, mut f: impl FnMut(&str)) {
        let line = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() || line.first() == Some(&b'\n') {
            f(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |l| seen.push(l.to_owned()));
        }
        lines.flush(|l| seen.push(l.to_owned()));
        seen
    }

    #[test]
    fn a_line_may_come_in_pieces_and_without_its_end() {
        assert_eq!(lines(&[b"on", b"e\ntwo\nth", b"ree"]), ["one", "two", "three"]);
    }

    #[test]
    fn empty_lines_are_lines_and_progress_meters_have_lines() {
        assert_eq!(lines(&[b"a\n\nb\n"]), ["a", "", "b"]);
        assert_eq!(lines(&[b"10%\r20%\r\n"]), ["10%", "20%", ""]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_it() {
        assert_eq!(lines(&[b"\xff\n"]), ["\u{fffd}"]);
    }
}
