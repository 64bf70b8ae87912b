// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of the kernel log, from the two places where the lab meets them: records of `/dev/kmsg`
//! (`Documentation/ABI/testing/dev-kmsg` of the kernel), and the text of a serial console, which is all that is left
//! when the guest has died.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The kernel (facility 0), or a console line with the kernel's time stamp.
    Kernel,
    /// A user program: another facility of `/dev/kmsg`, or console text without a time stamp.
    User,
    /// The lab itself, which has left lines out here.
    Lab,
}

/// One line of the log. A record that holds several lines becomes several of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Severity, 0 (emergency) to 7 (debug). A console does not tell.
    pub level: Option<u8>,
    /// Microseconds since boot, by the kernel's monotonic clock. Text without a time stamp has none.
    pub micros: Option<u64>,
    /// Who wrote it.
    pub origin: Origin,
    /// The text, without prefix and line end.
    pub text: String,
}

impl Line {
    /// A line of the kernel.
    pub fn kernel(level: u8, micros: u64, text: impl Into<String>) -> Self {
        Self { level: Some(level), micros: Some(micros), origin: Origin::Kernel, text: text.into() }
    }
}

impl fmt::Display for Line {
    /// As `dmesg` shows it: `[    1.234567] text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(micros) = self.micros {
            write!(f, "[{:5}.{:06}] ", micros / 1_000_000, micros % 1_000_000)?;
        }
        f.write_str(&self.text)
    }
}

/// Reads one record of `/dev/kmsg`: `priority,sequence,microseconds,flags[,more];text`, then lines of key and value,
/// which are dropped. A record whose text holds line ends gives a line for each. `None` if it is no such record.
pub fn kmsg(record: &str) -> Option<Vec<Line>> {
    let (prefix, rest) = record.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let _sequence: u64 = fields.next()?.parse().ok()?;
    let micros: u64 = fields.next()?.parse().ok()?;
    let text = unescape(rest.split('\n').next().unwrap_or(rest));
    let origin = if priority >> 3 == 0 { Origin::Kernel } else { Origin::User };
    let line = |text: &str| Line {
        level: Some((priority & 7) as u8),
        micros: Some(micros),
        origin,
        text: text.trim_end().to_owned(),
    };
    Some(text.trim_end_matches('\n').split('\n').map(line).collect())
}

/// Undoes the `\xNN` with which `/dev/kmsg` writes a backslash and each byte that cannot be printed.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match escaped(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that stands as `\xNN` at the front.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let &[b'\\', b'x', high, low, ..] = bytes else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// `[    1.234567] `, with the thread or CPU that `CONFIG_PRINTK_CALLER` adds, and the text behind it. User programs write
/// to the console too, so it may stand in the middle of a line that they began.
static STAMP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[ *(\d{1,10})\.(\d{6})\](?:\[ *[TC]\d+\])? ?(.*)$").expect("a fixed pattern")
});

/// Reads the text of a serial console. Lines without the kernel's time stamp are a user program's.
pub fn console(text: &str) -> Vec<Line> {
    text.lines().map(console_line).collect()
}

/// Reads one line of a serial console.
pub fn console_line(text: &str) -> Line {
    let text = text.trim_end_matches(['\r', '\n']);
    stamped(text).unwrap_or_else(|| Line {
        level: None,
        micros: None,
        origin: Origin::User,
        text: text.to_owned(),
    })
}

fn stamped(text: &str) -> Option<Line> {
    let found = STAMP.captures(text)?;
    let seconds: u64 = found[1].parse().ok()?;
    let micros: u64 = found[2].parse().ok()?;
    let text = found[3].trim_end().to_owned();
    Some(Line { level: None, micros: Some(seconds * 1_000_000 + micros), origin: Origin::Kernel, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kmsg_record_gives_level_time_and_text() {
        let lines = kmsg("4,271,1234567,-;simblk: loaded\n SUBSYSTEM=block\n DEVICE=b254:0\n").unwrap();
        assert_eq!(lines, [Line::kernel(4, 1_234_567, "simblk: loaded")]);
    }

    #[test]
    fn fields_to_come_are_ignored() {
        let lines = kmsg("6,1,2,-,caller=T1,new=7;text").unwrap();
        assert_eq!(lines, [Line::kernel(6, 2, "text")]);
    }

    #[test]
    fn line_ends_inside_a_record_make_lines() {
        let lines = kmsg("4,9,5,-;\\x0abut task is already holding lock:").unwrap();
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["", "but task is already holding lock:"]);
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_left() {
        assert_eq!(unescape(r"a\x5cb\x09c\xZZ\x4"), "a\\b\tc\\xZZ\\x4");
        assert_eq!(unescape(r"\xc3\xa9"), "é");
        assert_eq!(unescape(r"\xff"), "\u{fffd}");
    }

    #[test]
    fn what_user_space_wrote_is_marked() {
        assert_eq!(kmsg("12,9,5,-;BUG: not the kernel's").unwrap()[0].origin, Origin::User);
        assert_eq!(kmsg("4,9,5,-;BUG: the kernel's").unwrap()[0].origin, Origin::Kernel);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in ["", "text", "a,b,c;d", "1,2;x", "4,9,5,-"] {
            assert_eq!(kmsg(text), None, "{text:?}");
        }
    }

    #[test]
    fn console_lines_have_their_time() {
        let line = console_line("[   12.000345] simblk: loaded\r\n");
        assert_eq!((line.micros, line.text.as_str()), (Some(12_000_345), "simblk: loaded"));
        let line = console_line("[    1.5][   T12] odd");
        assert_eq!(line.origin, Origin::User, "five digits are missing");
        let line = console_line("[    1.500000][   T12] with the caller");
        assert_eq!(line.text, "with the caller");
    }

    #[test]
    fn the_kernel_may_speak_into_a_line_of_a_program() {
        let line = console_line("login: [   12.000345] Oops: 0000 [#1]");
        assert_eq!((line.origin, line.text.as_str()), (Origin::Kernel, "Oops: 0000 [#1]"));
    }

    #[test]
    fn a_line_prints_as_dmesg_does() {
        let text = "[   12.000345] simblk: loaded";
        assert_eq!(console_line(text).to_string(), text);
    }
}
