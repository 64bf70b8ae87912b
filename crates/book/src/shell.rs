// SPDX-License-Identifier: MIT OR Apache-2.0
//! Types commands into a shell of a guest, one after the other, and says what each answered.
//!
//! It is one shell for all of them, so that a variable, an open descriptor or a job in the background is there for the
//! next command, as it is at a prompt. The next command is typed when the one before has ended; the shell tells by a
//! record separator (a byte that no text holds) with the exit code. Standard error goes where standard output goes, so
//! that both come in the order in which they were written.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};

use blockyard_lab::guest::Session;
use blockyard_lab::{Error, Kind, Result};

use crate::console::Entry;

/// The byte around an exit code: ASCII's record separator.
const MARK: u8 = 0x1e;
/// What ends a command: udev settles, then the exit code is told, and kept for the command that asks for it.
const ENDED: &str = "\
exec 2>&1
__ended() {
    local status=$?
    udevadm settle --timeout=600 </dev/null || echo 'udev has not settled within ten minutes'
    printf '\\036%d\\036' \"$status\"
    return \"$status\"
}
";

/// What a command answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code.
    pub status: i32,
    /// What it printed.
    pub output: String,
}

/// Who watches.
pub trait Audience {
    /// A command is about to be typed.
    fn typed(&mut self, entry: &Entry) -> Result<()> {
        let _ = entry;
        Ok(())
    }

    /// It has printed something more.
    fn printed(&mut self, bytes: &[u8]) -> Result<()> {
        let _ = bytes;
        Ok(())
    }

    /// It has ended. An error ends the play.
    fn ended(&mut self, entry: &Entry, answer: Answer) -> Result<()>;
}

/// Types the commands; each must exit as it says ([`Entry::fails`]), or the audience stops the play.
///
/// # Errors
/// What the audience returns, or, with the command's name, that a command did not end in time or ended the shell.
pub fn play(session: &Session, entries: &[Entry], audience: &mut dyn Audience) -> Result<()> {
    let (keys, keyboard) = channel();
    let mut script =
        Script { entries, current: 0, keys: Some(keys), unread: Vec::new(), said: Vec::new(), audience };
    script.begin()?;
    let shell = session.command(["/bin/bash", "--noprofile", "--norc"]).stdin_from(Keyboard::new(keyboard));
    let ended = shell.on_output(|_, bytes| script.take(bytes)).run();
    let Some(entry) = script.entries.get(script.current) else { return ended.map(drop) };
    let said = String::from_utf8_lossy(&script.said).trim_end().to_owned();
    match ended {
        Ok(output) => {
            let message = format!("`{}` ended the shell with {}: {said}", entry.command, output.status);
            Err(Error::new(Kind::Guest, message))
        }
        Err(e) if e.kind() == Kind::Timeout => {
            Err(Error::new(Kind::Timeout, format!("`{}` did not end in time: {said}", entry.command))
                .with_source(e))
        }
        Err(e) => Err(e),
    }
}

/// The commands, and how far they have come.
struct Script<'a> {
    entries: &'a [Entry],
    current: usize,
    /// Gone when there is nothing more to type: the shell then sees the end of its input.
    keys: Option<Sender<Vec<u8>>>,
    /// From an unfinished exit code on.
    unread: Vec<u8>,
    /// What the current command has printed.
    said: Vec<u8>,
    audience: &'a mut dyn Audience,
}

impl Script<'_> {
    fn begin(&mut self) -> Result<()> {
        self.send(ENDED.into());
        self.type_current()
    }

    fn type_current(&mut self) -> Result<()> {
        let Some(entry) = self.entries.get(self.current) else {
            self.keys = None;
            return Ok(());
        };
        self.audience.typed(entry)?;
        // Its input is not the shell's, which holds the next commands.
        let quoted = entry.command.replace('\'', r"'\''");
        self.send(format!("eval '{quoted}' </dev/null; __ended\n"));
        Ok(())
    }

    fn send(&self, text: String) {
        if let Some(keys) = &self.keys {
            // A shell that reads no more has ended, which `play` sees.
            let _ = keys.send(text.into_bytes());
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.unread.extend_from_slice(bytes);
        loop {
            let mark = self.unread.iter().position(|byte| *byte == MARK);
            let printed: Vec<u8> = self.unread.drain(..mark.unwrap_or(self.unread.len())).collect();
            if !printed.is_empty() {
                self.said.extend_from_slice(&printed);
                self.audience.printed(&printed)?;
            }
            let Some(end) = self.unread.iter().skip(1).position(|byte| *byte == MARK) else { return Ok(()) };
            let told: Vec<u8> = self.unread.drain(..end + 2).collect();
            self.end(&told[1..=end])?;
        }
    }

    fn end(&mut self, code: &[u8]) -> Result<()> {
        let entries = self.entries;
        let code = String::from_utf8_lossy(code).parse();
        let (Some(entry), Ok(status)) = (entries.get(self.current), code) else {
            return Err(Error::new(
                Kind::Guest,
                "a command printed the byte 0x1e, which marks the end of one",
            ));
        };
        let output = String::from_utf8_lossy(&std::mem::take(&mut self.said)).into_owned();
        self.audience.ended(entry, Answer { status, output })?;
        self.current += 1;
        self.type_current()
    }
}

/// What is typed, as the shell's input.
struct Keyboard {
    keys: Receiver<Vec<u8>>,
    waiting: std::io::Cursor<Vec<u8>>,
}

impl Keyboard {
    fn new(keys: Receiver<Vec<u8>>) -> Self {
        Self { keys, waiting: std::io::Cursor::default() }
    }
}

impl Read for Keyboard {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.waiting.read(buffer)? {
            0 => match self.keys.recv() {
                Ok(bytes) => {
                    self.waiting = std::io::Cursor::new(bytes);
                    self.waiting.read(buffer)
                }
                // Nobody types any more.
                Err(_) => Ok(0),
            },
            n => Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it sees.
    #[derive(Default)]
    struct Notes {
        typed: Vec<String>,
        printed: String,
        answers: Vec<Answer>,
    }

    impl Audience for Notes {
        fn typed(&mut self, entry: &Entry) -> Result<()> {
            self.typed.push(entry.command.clone());
            Ok(())
        }

        fn printed(&mut self, bytes: &[u8]) -> Result<()> {
            self.printed.push_str(&String::from_utf8_lossy(bytes));
            Ok(())
        }

        fn ended(&mut self, _: &Entry, answer: Answer) -> Result<()> {
            self.answers.push(answer);
            Ok(())
        }
    }

    /// Answers the commands of `text` with these bytes, in pieces of this length.
    fn answered(text: &str, bytes: &[u8], piece: usize) -> (Result<()>, Notes, Keyboard) {
        let entries = crate::console::entries(text, 0..text.len()).unwrap();
        let mut notes = Notes::default();
        let (keys, keyboard) = channel();
        let mut script = Script {
            entries: &entries,
            current: 0,
            keys: Some(keys),
            unread: Vec::new(),
            said: Vec::new(),
            audience: &mut notes,
        };
        let result = script.begin().and_then(|()| bytes.chunks(piece).try_for_each(|part| script.take(part)));
        drop(script);
        (result, notes, Keyboard::new(keyboard))
    }

    #[test]
    fn answers_are_told_apart_however_their_bytes_are_cut() {
        for piece in [1, 2, 3, 7, 100] {
            let (result, notes, _) =
                answered("# a\n# b\n# c\n", b"one\n\x1e0\x1e\x1e12\x1etwo\x1e0\x1e", piece);
            result.unwrap();
            let answer = |status, output: &str| Answer { status, output: output.into() };
            assert_eq!(notes.answers, [answer(0, "one\n"), answer(12, ""), answer(0, "two")]);
            assert_eq!(notes.printed, "one\ntwo");
        }
    }

    #[test]
    fn the_next_command_is_typed_when_the_one_before_has_ended() {
        let (_, notes, mut keyboard) = answered("# a 'b'\n# c\n# d\n", b"\x1e0\x1e", 100);
        assert_eq!(notes.typed, ["a 'b'", "c"]);
        let mut typed = String::new();
        keyboard.read_to_string(&mut typed).unwrap();
        assert!(
            typed.ends_with("eval 'a '\\''b'\\''' </dev/null; __ended\neval 'c' </dev/null; __ended\n"),
            "{typed}"
        );
    }

    #[test]
    fn a_mark_that_is_none_of_ours_is_an_error() {
        let (result, ..) = answered("# a\n", b"\x1ex\x1e", 100);
        assert!(result.unwrap_err().to_string().contains("0x1e"));
    }
}
