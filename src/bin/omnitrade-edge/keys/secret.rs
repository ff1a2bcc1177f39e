//! API keys in plain text, which exist only in this process.

use std::fmt;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::Failure;

/// An API key. It prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Box<str>);

impl ApiKey {
    /// A new key: 192 bits of the operating system's randomness, after a prefix by which scanners
    /// for leaked secrets can recognise it.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if the system has no randomness.
    pub fn random() -> Result<Self, Failure> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::Runtime(format!("the system gives no random numbers: {error}"))
        })?;
        let text = format!("ote_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        Ok(Self(text.into()))
    }

    /// Reads the key from stdin.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if the text cannot be a key, without showing it; [`Failure::Runtime`] if
    /// stdin cannot be read.
    pub fn from_stdin() -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(MAX_INPUT)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Runtime(format!("cannot read stdin: {error}")))?;
        let text = String::from_utf8(bytes).ok();
        text.as_deref()
            .ok_or(VISIBLE)
            .and_then(Self::parse)
            .map_err(|expected| Failure::Usage(format!("the key on stdin: expected {expected}")))
    }

    /// Reads a key, without surrounding white space; the error says what was expected.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let key = text.trim();
        if key.is_empty() {
            return Err("a key, found nothing");
        }
        if !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(VISIBLE);
        }
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&key.len()) {
            return Err("16 to 1024 characters: a shorter key can be guessed");
        }
        Ok(Self(key.into()))
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

const VISIBLE: &str = "one line of visible ASCII characters without spaces";

/// The allowed lengths of keys, in bytes.
const MIN_LENGTH: usize = 16;
const MAX_LENGTH: usize = 1_024;

/// The most that is read from stdin, in bytes: enough to notice that a key is too long.
const MAX_INPUT: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_keys_are_long_and_differ() {
        let (a, b) = (ApiKey::random().unwrap(), ApiKey::random().unwrap());
        assert_ne!(a, b);
        for key in [a, b] {
            let random = key.reveal().strip_prefix("ote_").unwrap();
            assert_eq!(random.len() * 6, 192, "bits");
            assert_eq!(ApiKey::parse(key.reveal()), Ok(key));
        }
    }

    #[test]
    fn the_space_around_a_key_is_not_part_of_it() {
        let key = ApiKey::parse(" 0123456789abcdef\r\n").unwrap();
        assert_eq!(key.reveal(), "0123456789abcdef");
        assert_eq!(format!("{key:?}"), "[redacted]");
    }

    #[test]
    fn what_could_not_be_sent_or_could_be_guessed_is_no_key() {
        for text in [
            "",
            " \n",
            "short",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdef\n0123456789abcdef",
            "0123456789abcdef\0",
            "0123456789abcdef\x1b[0m",
            "0123456789abcdefü",
            &"x".repeat(1_025),
        ] {
            assert!(ApiKey::parse(text).is_err(), "{text:?}");
        }
    }
}
