//! A stored response as one string of text, as the store holds it.
//!
//! The store passes strings through JSON, and its script reads the head of this one. So it is
//! always valid UTF-8 and begins with words that one `string.match` can read:
//!
//! ```text
//! 2 <fresh_until_ms> <usable_until_ms> <stamp_ms> <version> <epochs> {"k":…}\n
//! <body>
//! ```
//!
//! In this order: the schema version; the instants, in Unix milliseconds, until which the entry is
//! fresh, until which it may be served while another caller refreshes it, and at which it arrived;
//! the version of its content, `-` if it has none; its [epochs](super::Tags::epoch_keys); the rest
//! of the [`Meta`] as JSON on the same line; and the body, unchanged, compressed or in base64.

mod body;

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::entry::Meta;
use super::freshness::Freshness;
use super::key::CacheKey;
use crate::clock::{Timestamp, millis};

pub use body::LARGEST_BODY;
use body::Writing;

/// Writes a response as text. A body of at least `compress_from` bytes is compressed if that makes
/// it shorter.
///
/// # Errors
///
/// If the response's epochs are not known, or if the head cannot be written as JSON, which is not
/// known to happen for any [`Meta`].
pub fn encode(
    meta: &Meta,
    freshness: &Freshness,
    body: &[u8],
    compress_from: Option<usize>,
) -> Result<String, EncodeError> {
    let head = head(meta, freshness).ok_or(EncodeError)?;
    let (writing, text) = body::write(body, compress_from);
    let wire = Wire {
        key: Cow::Borrowed(&meta.key),
        status: meta.status,
        headers: Cow::Borrowed(&meta.headers),
        request_time: meta.request_time.as_millis(),
        age: millis(meta.age),
        vary: Cow::Borrowed(&meta.vary),
        decoded: meta.decoded,
        generation: meta.generation,
        writing,
        length: body.len(),
        checksum: checksum(body),
    };
    let json = serde_json::to_string(&wire).map_err(|_| EncodeError)?;
    Ok(format!("{head}{json}\n{text}"))
}

/// The beginning of a response's text, up to the JSON. If the text in the store begins the same, it
/// is the same response. `None` if the response's epochs are not known.
pub fn head(meta: &Meta, freshness: &Freshness) -> Option<String> {
    let fresh_until = freshness.fresh_until.as_millis();
    let usable_until = freshness.usable_until.as_millis().max(fresh_until);
    let stamp = meta.response_time.as_millis();
    let version = meta.version.as_deref().unwrap_or(NONE);
    let epochs = meta.epochs.as_deref()?;
    Some(format!(
        "{VERSION} {fresh_until} {usable_until} {stamp} {version} {epochs} "
    ))
}

/// Reads a response, if it is complete and belongs to `key`.
///
/// # Errors
///
/// If the text is invalid in any way. The caller treats every error as a miss.
pub fn decode<'a>(envelope: &'a str, key: &CacheKey) -> Result<(Meta, Cow<'a, [u8]>), DecodeError> {
    let (head, body) = envelope.split_once('\n').ok_or(DecodeError::Head)?;
    let mut parts = head.splitn(7, ' ');
    let mut word = || parts.next().ok_or(DecodeError::Head);
    if word() != Ok(VERSION) {
        return Err(DecodeError::Version);
    }
    let number = |word: &str| word.parse::<u64>().map_err(|_| DecodeError::Head);
    let (_fresh_until, _usable_until) = (number(word()?)?, number(word()?)?);
    let stamp = number(word()?)?;
    let version = match word()? {
        NONE => None,
        version if version.bytes().all(|b| b.is_ascii_digit()) => Some(version.to_owned()),
        _ => return Err(DecodeError::Head),
    };
    let epochs = Some(word()?.to_owned());
    let wire = Wire::read(word()?).ok_or(DecodeError::Head)?;
    if !(200..=599).contains(&wire.status) {
        return Err(DecodeError::Head);
    }
    if wire.key != key.text() {
        return Err(DecodeError::Key);
    }
    let body = body::read(wire.writing, body, wire.length).ok_or(DecodeError::Body)?;
    if checksum(&body) != wire.checksum {
        return Err(DecodeError::Body);
    }
    let meta = Meta {
        key: wire.key.into_owned(),
        status: wire.status,
        headers: wire.headers.into_owned(),
        request_time: Timestamp::from_millis(wire.request_time),
        response_time: Timestamp::from_millis(stamp),
        age: Duration::from_millis(wire.age),
        vary: wire.vary.into_owned(),
        decoded: wire.decoded,
        generation: wire.generation,
        version,
        epochs,
    };
    Ok((meta, body))
}

/// A response could not be written. It is then not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response cannot be written as text")]
pub struct EncodeError;

/// Why a stored text cannot be used. Every reason counts as a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is of another version, or not an envelope at all.
    #[error("not an envelope of this version")]
    Version,
    /// The head does not parse.
    #[error("the head of the envelope does not parse")]
    Head,
    /// The envelope belongs to another key with the same digest.
    #[error("the envelope belongs to another key")]
    Key,
    /// The body is damaged.
    #[error("the body in the envelope is damaged")]
    Body,
}

/// The JSON in the head.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "k")]
    key: Cow<'a, str>,
    #[serde(rename = "s")]
    status: u16,
    #[serde(rename = "h")]
    headers: Cow<'a, [(String, String)]>,
    #[serde(rename = "q")]
    request_time: u64,
    #[serde(rename = "a", skip_serializing_if = "is_zero")]
    age: u64,
    #[serde(rename = "v", skip_serializing_if = "<[_]>::is_empty")]
    vary: Cow<'a, [(String, Option<String>)]>,
    #[serde(rename = "d", skip_serializing_if = "is_false")]
    decoded: bool,
    #[serde(rename = "g", skip_serializing_if = "is_zero")]
    generation: u64,
    #[serde(rename = "b", skip_serializing_if = "Writing::is_plain")]
    writing: Writing,
    #[serde(rename = "l")]
    length: usize,
    #[serde(rename = "c")]
    checksum: u64,
}

impl Wire<'static> {
    /// Reads the JSON; `None` if it is something else. By hand, because the code that serde derives
    /// for this would make the Worker 5 kB larger.
    fn read(json: &str) -> Option<Self> {
        let mut fields: Value = serde_json::from_slice(json.as_bytes()).ok()?;
        let mut take = |name: &str| fields.get_mut(name).map(Value::take);
        // One that is not written if it is zero.
        let number = |field: Option<Value>| field.map_or(Some(0), |number| number.as_u64());
        Some(Self {
            status: take("s")?.as_u64()?.try_into().ok()?,
            request_time: take("q")?.as_u64()?,
            age: number(take("a"))?,
            decoded: match take("d") {
                Some(decoded) => decoded.as_bool()?,
                None => false,
            },
            generation: number(take("g"))?,
            writing: match take("b") {
                Some(writing) => Writing::named(writing.as_str()?)?,
                None => Writing::Plain,
            },
            length: take("l")?.as_u64()?.try_into().ok()?,
            checksum: take("c")?.as_u64()?,
            key: text(take("k")?)?.into(),
            headers: pairs(take("h")?, text)?.into(),
            vary: match take("v") {
                Some(vary) => pairs(vary, optional_text)?.into(),
                None => Vec::new().into(),
            },
        })
    }
}

/// Names, each with a value that `read` reads.
fn pairs<T>(list: Value, read: impl Fn(Value) -> Option<T>) -> Option<Vec<(String, T)>> {
    let Value::Array(list) = list else {
        return None;
    };
    let pair = |pair: Value| match pair {
        Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([name, value]) => Some((text(name)?, read(value)?)),
            Err(_) => None,
        },
        _ => None,
    };
    list.into_iter().map(pair).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn optional_text(value: Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        value => text(value).map(Some),
    }
}

/// FNV-1a over words of eight bytes: it detects damage, not forgery.
pub(in crate::engine) fn checksum(body: &[u8]) -> u64 {
    let (words, rest) = body.as_chunks::<8>();
    let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(FNV_PRIME).rotate_left(29);
    let sum = words
        .iter()
        .fold(FNV_OFFSET, |sum, word| add(sum, u64::from_le_bytes(*word)));
    let sum = rest
        .iter()
        .fold(sum, |sum, byte| add(sum, u64::from(*byte)));
    // Every reader of JSON represents integers of up to 53 bits exactly.
    sum >> 11
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

const VERSION: &str = "2";
const NONE: &str = "-";
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
