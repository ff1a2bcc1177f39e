//! Targeted cache control (RFC 9213): fields that apply only to this kind of cache.

use std::borrow::Cow;

use super::control::{Argument, ResponseDirectives};
use super::fields::{Fields, elements, trim};

impl ResponseDirectives {
    /// The directives that apply to this cache: those of the first targeted field that is present
    /// and well-formed (RFC 9213 §2.2), otherwise those of `Cache-Control`.
    ///
    /// A malformed targeted field is ignored, except for the words in it that restrict.
    pub fn of<F: Fields + ?Sized>(response: &F) -> Self {
        let (targeted, malformed) = directives(response);
        let mut directives = targeted
            .unwrap_or_else(|| Self::parse(&response.value("cache-control").unwrap_or_default()));
        malformed.iter().for_each(|text| directives.restrict(text));
        directives
    }
}

/// The directives of the first field of [`TARGETS`] that is present, well-formed and not empty, and
/// the values of the fields before it that are malformed or empty.
///
/// RFC 9213 §2.2: a cache that uses a targeted field "MUST ignore" `Cache-Control` and `Expires`. A
/// field that does not parse, or is empty, is treated as absent.
fn directives<F: Fields + ?Sized>(response: &F) -> (Option<ResponseDirectives>, Vec<Cow<'_, str>>) {
    let mut malformed = Vec::new();
    for text in TARGETS.iter().filter_map(|name| response.value(name)) {
        match dictionary(&text) {
            Some(directives) => return (Some(directives), malformed),
            None => malformed.push(text),
        }
    }
    (None, malformed)
}

/// Parses a Dictionary Structured Field (RFC 9651 §3.2), as far as cache directives need it. Inner
/// lists, which no directive has, are only recognised. Of parameters, which no directive has either
/// (RFC 9213 §2.1), the words count that would restrict if the semicolon was meant as a comma.
fn dictionary(text: &str) -> Option<ResponseDirectives> {
    let mut members: Vec<(&str, Item<'_>)> = Vec::new();
    let mut doubtful = Vec::new();
    for element in elements(text) {
        let (member, parameters) = split_parameters(element);
        doubtful.push(parameters);
        let (key, value) = match member.split_once('=') {
            None => (member, Item::True),
            Some((key, value)) => (key, item(value)?),
        };
        if !is_key(key) {
            return None;
        }
        // RFC 9651 §4.2.2: a later member of the same key replaces an earlier one.
        members.retain(|(known, _)| *known != key);
        members.push((key, value));
    }
    if members.is_empty() {
        return None;
    }
    let mut directives = ResponseDirectives {
        targeted: true,
        ..ResponseDirectives::default()
    };
    for (key, value) in members {
        let argument = match value {
            Item::False => continue,
            Item::True => Argument::None,
            Item::Integer(digits) => Argument::Value(digits.into()),
            Item::Text(names) if matches!(key, "no-cache" | "private") => {
                Argument::Value(names.into())
            }
            // A value of the wrong type, as a string where seconds are expected.
            Item::Text(_) | Item::Other => Argument::Malformed,
        };
        directives.add(key, &argument);
    }
    doubtful
        .into_iter()
        .for_each(|text| directives.restrict(text));
    Some(directives)
}

/// A bare item (RFC 9651 §3.3), in the kinds that directives distinguish.
enum Item<'a> {
    True,
    False,
    /// A non-negative integer.
    Integer(&'a str),
    /// The content of a string.
    Text(&'a str),
    Other,
}

/// Parses one bare item. `None` if it is not one, which makes the whole field invalid.
fn item(value: &str) -> Option<Item<'_>> {
    match value.as_bytes().first()? {
        b'?' => match value {
            "?1" => Some(Item::True),
            "?0" => Some(Item::False),
            _ => None,
        },
        b'0'..=b'9' if value.bytes().all(|b| b.is_ascii_digit()) => Some(Item::Integer(value)),
        b'-' | b'0'..=b'9' => is_number(value).then_some(Item::Other),
        b'"' => {
            let content = value.strip_prefix('"')?.strip_suffix('"')?;
            (content.is_ascii() && !content.contains('"')).then_some(Item::Text(content))
        }
        b'a'..=b'z' | b'A'..=b'Z' | b'*' | b':' | b'(' => Some(Item::Other),
        _ => None,
    }
}

/// Whether the text is an Integer or a Decimal (RFC 9651 §3.3.1, §3.3.2). Its value does not count:
/// no directive takes a negative number or a fraction.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    match text.split_once('.') {
        None => digits(text, 15),
        Some((whole, fraction)) => digits(whole, 12) && digits(fraction, 3),
    }
}

/// Splits a member from its parameters.
fn split_parameters(element: &str) -> (&str, &str) {
    match element.split_once(';') {
        Some((member, parameters)) if !member.contains('"') => (trim(member), parameters),
        _ => (element, ""),
    }
}

/// Whether the text is a key (RFC 9651 §3.1.2).
fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*')
        && key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b))
}

/// The targeted fields, the most specific first.
const TARGETS: [&str; 2] = ["edge-cache-control", "cdn-cache-control"];
