//! Header fields as the rules read them: by name, with their lines combined, as text.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};

use crate::clock::Timestamp;

/// Header fields, read by name, so that a caller need not copy the fields that no rule reads.
pub trait Fields {
    /// The value of the field `name` (in lower case), with its lines joined by `", "`, as RFC 9110
    /// §5.3 allows. `None` if the message has no such field.
    ///
    /// Octets are read as UTF-8, as Workers read them. Octets that are not UTF-8 become U+FFFD, so
    /// different values may become equal; [`is_exact`] tells whether a value is affected.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;

    /// Whether the message has the field.
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

impl Fields for HeaderMap {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut lines = self.get_all(name).iter();
        let mut value = text(lines.next()?);
        for line in lines {
            let value = value.to_mut();
            value.push_str(", ");
            value.push_str(&text(line));
        }
        Some(value)
    }

    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }
}

/// Field lines in order: names, in lower case, and values.
impl Fields for [(String, String)] {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut lines = self.iter().filter(|(n, _)| n == name).map(|(_, v)| v);
        let mut value = Cow::Borrowed(lines.next()?.as_str());
        for line in lines {
            let value = value.to_mut();
            value.push_str(", ");
            value.push_str(line);
        }
        Some(value)
    }

    fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n == name)
    }
}

impl Fields for Vec<(String, String)> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.as_slice().value(name)
    }

    fn has(&self, name: &str) -> bool {
        self.as_slice().has(name)
    }
}

/// The values of the lines of the field `name` (in lower case).
pub fn lines<'a>(fields: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = fields.iter().filter(move |(known, _)| known == name);
    lines.map(|(_, value)| value.as_str())
}

/// Whether all octets of a field value are known. They are not if it contains U+FFFD, which stands
/// for any octets that are not UTF-8.
pub fn is_exact(value: &str) -> bool {
    !value.contains(char::REPLACEMENT_CHARACTER)
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// A date in any of the three forms of RFC 9110 §5.6.7; `None` if it is not one.
pub fn date(text: &str) -> Option<Timestamp> {
    let time: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(crate::clock::millis(since)))
}

/// An instant in the format of RFC 9110 §5.6.7, rounded down to the second. `None` after the year
/// 9999.
pub fn http_date(time: Timestamp) -> Option<String> {
    let seconds = time.as_millis() / 1_000;
    if seconds >= YEAR_10000 {
        return None;
    }
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    Some(httpdate::fmt_http_date(time))
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), trimmed and without empty ones.
///
/// A comma inside a quoted string does not separate. A quote that never closes is an ordinary
/// character, so that it cannot hide the directives after it.
pub fn elements(list: &str) -> Elements<'_> {
    Elements {
        rest: list,
        unclosed: false,
    }
}

/// The iterator that [`elements`] returns.
pub struct Elements<'a> {
    rest: &'a str,
    /// Whether a quote was found that never closes. All quotes after it are ordinary characters,
    /// too.
    unclosed: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let end = self.end();
            let (element, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.strip_prefix(',').unwrap_or(rest);
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

impl Elements<'_> {
    /// Where the first element of the rest ends.
    fn end(&mut self) -> usize {
        let mut bytes = self.rest.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b',' => return at,
                b'"' if !self.unclosed => {
                    let mut inside = bytes.clone();
                    match closing_quote(&mut inside) {
                        true => bytes = inside,
                        false => self.unclosed = true,
                    }
                }
                _ => {}
            }
        }
        self.rest.len()
    }
}

/// Advances past the quote that closes a quoted string. `false` if there is none.
fn closing_quote(bytes: &mut impl Iterator<Item = (usize, u8)>) -> bool {
    while let Some((_, byte)) = bytes.next() {
        match byte {
            b'"' => return true,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    false
}

/// The text without the white space that RFC 9110 §5.6.3 allows around a value.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether the text is a token (RFC 9110 §5.6.2), as a field name or a directive is.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

/// The tokens in a text, whatever separates them; the text may be a malformed list.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let tokens = text.split(|c| !is_token_char(c));
    tokens.filter(|token| !token.is_empty())
}

fn is_token_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char)
}

const YEAR_10000: u64 = 253_402_300_800;
