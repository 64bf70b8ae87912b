// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of a description, taken one by one by the type that they belong to.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::list;

/// Why a description makes no sense: a sentence that names the option and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

impl SpecError {
    /// With this sentence, without a full stop.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    fn value(option: &str, value: &str, allowed: &str) -> Self {
        Self(format!("option `{option}` cannot be `{value}`: it is {allowed}"))
    }
}

/// What is left of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    kind: String,
    /// Names and values; a switch has none.
    given: Vec<(String, Option<String>)>,
}

impl Options {
    /// Cuts a description into its type and its options.
    pub(super) fn parse(text: &str) -> Result<Self, SpecError> {
        let mut words = split(text).into_iter();
        let kind = words.next().unwrap_or_default();
        let mut given: Vec<(String, Option<String>)> = Vec::new();
        for word in words {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if name.is_empty() {
                return Err(SpecError::new(format!("an option without a name in `{text}`")));
            }
            if given.iter().any(|(other, _)| *other == name) {
                return Err(SpecError::new(format!("option `{name}` is given twice")));
            }
            given.push((name, value));
        }
        Ok(Self { kind, given })
    }

    /// The type.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Refuses options that are not among these.
    pub(super) fn must_be_of(&self, known: &[&str]) -> Result<(), SpecError> {
        match self.given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(SpecError::new(format!("{} has no option `{name}`: it has {}", self.kind, list(known))))
            }
        }
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, SpecError> {
        let Some(at) = self.given.iter().position(|(other, _)| other == name) else { return Ok(None) };
        match self.given.remove(at).1 {
            Some(value) => Ok(Some(value)),
            None => Err(SpecError::new(format!("option `{name}` needs a value, as `{name}=..`"))),
        }
    }

    /// A path.
    pub fn path(&mut self, name: &str) -> Result<Option<PathBuf>, SpecError> {
        match self.text(name)? {
            Some(path) if path.is_empty() => Err(SpecError::value(name, "", "the path of a file")),
            path => Ok(path.map(PathBuf::from)),
        }
    }

    /// A number within bounds.
    pub fn number(&mut self, name: &str, within: RangeInclusive<u64>) -> Result<Option<u64>, SpecError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if within.contains(&number) => Ok(Some(number)),
            _ => {
                let allowed = format!("a number from {} to {}", within.start(), within.end());
                Err(SpecError::value(name, &text, &allowed))
            }
        }
    }

    /// A power of two within bounds.
    pub fn power_of_two(
        &mut self,
        name: &str,
        within: RangeInclusive<u64>,
    ) -> Result<Option<u64>, SpecError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match size(&text) {
            Some(number) if within.contains(&number) && number.is_power_of_two() => Ok(Some(number)),
            _ => {
                let allowed = format!("a power of two from {} to {}", within.start(), within.end());
                Err(SpecError::value(name, &text, &allowed))
            }
        }
    }

    /// A number of bytes, with K, M, G or T for powers of 1024.
    pub fn size(&mut self, name: &str) -> Result<Option<u64>, SpecError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match size(&text) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(SpecError::value(name, &text, "a number of bytes, as 512, 64K, 32M, 4G or 1T")),
        }
    }

    /// A switch: `name`, `name=on`, `name=off`, or not there.
    pub fn switch(&mut self, name: &str) -> Result<bool, SpecError> {
        let Some(at) = self.given.iter().position(|(other, _)| other == name) else { return Ok(false) };
        match self.given.remove(at).1.as_deref() {
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(SpecError::value(name, other, "on or off")),
        }
    }
}

/// Cuts at single commas; a doubled one stands for itself.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != ',' {
            words.last_mut().expect("there is always one").push(letter);
        } else if letters.next_if_eq(&',').is_some() {
            words.last_mut().expect("there is always one").push(',');
        } else {
            words.push(String::new());
        }
    }
    words
}

fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        b't' | b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    // `parse` would take a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        Options::parse(text).unwrap()
    }

    #[test]
    fn a_doubled_comma_is_part_of_the_value() {
        let mut options = options("blk,file=/a,,b,read-only");
        assert_eq!(options.path("file").unwrap().unwrap(), PathBuf::from("/a,b"));
        assert!(options.switch("read-only").unwrap());
        assert!(!options.switch("read-only").unwrap(), "taken already");
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("512", Some(512)),
            ("64K", Some(65536)),
            ("1g", Some(1 << 30)),
            ("+1", None),
            ("", None),
            ("M", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
        assert_eq!(size("99999999T"), None, "more than 64 bits");
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let error = |result: Result<Option<u64>, SpecError>| result.unwrap_err().to_string();
        assert_eq!(
            error(options("blk,queues=0").number("queues", 1..=16)),
            "option `queues` cannot be `0`: it is a number from 1 to 16"
        );
        assert_eq!(
            error(options("blk,block-size=513").power_of_two("block-size", 512..=65536)),
            "option `block-size` cannot be `513`: it is a power of two from 512 to 65536"
        );
        assert_eq!(error(options("blk,size").size("size")), "option `size` needs a value, as `size=..`");
        assert_eq!(
            options("blk,read-only=perhaps").switch("read-only").unwrap_err().to_string(),
            "option `read-only` cannot be `perhaps`: it is on or off"
        );
    }
}
