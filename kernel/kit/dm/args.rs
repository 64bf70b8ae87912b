// SPDX-License-Identifier: GPL-2.0

//! The words of a table's line, or of a message, as arguments with a position and a name.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::str::FromStr;

use kernel::{fmt, prelude::*, str::CStrExt};

use super::instance::Complaint;

/// Arguments, taken one after the other. Each method that fails has said what is wrong.
///
/// # Invariants
///
/// `words` points to `count` pointers to strings, all of which are there as long as `'a`.
#[doc(alias = "dm_arg_set")]
pub struct Args<'a> {
    words: *const *mut c_char,
    count: usize,
    taken: usize,
    complaint: Complaint<'a>,
}

impl<'a> Args<'a> {
    /// # Safety
    ///
    /// As the type's invariants say.
    pub(super) unsafe fn new(count: u32, words: *const *mut c_char, to: Complaint<'a>) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            words,
            count: count as usize,
            taken: 0,
            complaint: to,
        }
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.count - self.taken
    }

    /// Fails unless there are just as many. `usage` names them: `"DEVICE START"`.
    pub fn exactly(&self, count: usize, usage: &'static str) -> Result {
        self.check(self.count == count, count, "", usage)
    }

    /// Fails unless there are at least as many.
    pub fn at_least(&self, count: usize, usage: &'static str) -> Result {
        self.check(self.count >= count, count, "at least ", usage)
    }

    fn check(&self, good: bool, count: usize, how: &str, usage: &'static str) -> Result {
        if good {
            return Ok(());
        }
        let s = if count == 1 { "" } else { "s" };
        let given = self.count;
        Err(self.complaint.say(
            EINVAL,
            fmt!("{how}{count} argument{s} wanted ({usage}), {given} given"),
        ))
    }

    /// The next one. `name` is what the user calls it.
    pub fn next(&mut self, name: &'static str) -> Result<Arg<'a>> {
        let position = self.taken + 1;
        if self.left() == 0 {
            return Err(self
                .complaint
                .say(EINVAL, fmt!("argument {position} ({name}) is missing")));
        }
        // SAFETY: By the type invariant, as `taken` is less than `count`.
        let text = unsafe { CStr::from_char_ptr(*self.words.add(self.taken)) };
        self.taken = position;
        Ok(Arg {
            text,
            position,
            name,
            complaint: self.complaint,
        })
    }

    /// Fails if one is left.
    pub fn end(&mut self) -> Result {
        if self.left() == 0 {
            return Ok(());
        }
        Err(self.next("unexpected")?.wrong("is one too many"))
    }

    /// Says that all of them together are wrong, and gives `EINVAL`.
    pub fn wrong(&self, what: fmt::Arguments<'_>) -> Error {
        self.complaint.say(EINVAL, what)
    }
}

/// One argument.
#[derive(Clone, Copy)]
pub struct Arg<'a> {
    text: &'a CStr,
    position: usize,
    name: &'static str,
    complaint: Complaint<'a>,
}

impl<'a> Arg<'a> {
    /// The word itself.
    pub fn text(&self) -> &'a CStr {
        self.text
    }

    /// Whether it is this word.
    pub fn is(&self, word: &str) -> bool {
        self.text.to_bytes() == word.as_bytes()
    }

    /// The number that it is: decimal digits, and nothing else.
    #[doc(alias = "dm_read_arg")]
    pub fn number<N: FromStr>(&self) -> Result<N> {
        let digits = self.text.to_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(self.wrong("is not a number"));
        }
        let number = self.text.to_str().ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.wrong("is too large a number"))
    }

    /// Says that the argument is wrong, and how (`"is not a number"`), and gives `EINVAL`.
    pub fn wrong(&self, how: impl fmt::Display) -> Error {
        self.refuse(EINVAL, how)
    }

    /// As [`Self::wrong`], with another error.
    pub fn refuse(&self, error: Error, how: impl fmt::Display) -> Error {
        let Self {
            position,
            name,
            text,
            ..
        } = self;
        let say = fmt!("argument {position} ({name}): '{text}' {how}");
        self.complaint.say(error, say)
    }
}
