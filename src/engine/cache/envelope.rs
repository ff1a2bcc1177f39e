//! A stored response as one string of text, for the store.
//!
//! The store hands strings through JSON, and its script reads the head of this one, so it is always
//! valid UTF-8 and begins with what one `string.match(v, "^1 (%d+) (%d+) ")` reads:
//!
//! ```text
//! 1 <fresh_until_ms> <usable_until_ms> {"k":…}\n
//! <body>
//! ```
//!
//! the schema version; the instants, in Unix milliseconds, until which the entry is fresh and until
//! which it may be served while another caller refreshes it; the [`Meta`] as JSON on the same line;
//! and the body as it is, or in base64 where it is not UTF-8.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::entry::Meta;
use super::freshness::Freshness;
use super::key::CacheKey;
use crate::clock::{Timestamp, millis};

/// Writes a response as text.
///
/// # Errors
///
/// If the head does not turn into JSON, which no [`Meta`] is known to bring about.
pub fn encode(meta: &Meta, freshness: &Freshness, body: &[u8]) -> Result<String, EncodeError> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(STANDARD_NO_PAD.encode(body)),
    };
    let wire = Wire {
        key: Cow::Borrowed(&meta.key),
        status: meta.status,
        headers: Cow::Borrowed(&meta.headers),
        request_time: meta.request_time.as_millis(),
        response_time: meta.response_time.as_millis(),
        age: millis(meta.age),
        vary: Cow::Borrowed(&meta.vary),
        decoded: meta.decoded,
        generation: meta.generation,
        base64: matches!(text, Cow::Owned(_)),
        length: body.len(),
        checksum: checksum(body),
    };
    let json = serde_json::to_string(&wire).map_err(|_| EncodeError)?;
    let fresh_until = freshness.fresh_until.as_millis();
    let usable_until = freshness.usable_until.as_millis().max(fresh_until);
    Ok(format!(
        "{VERSION} {fresh_until} {usable_until} {json}\n{text}"
    ))
}

/// Reads a response back, if it is whole and answers `key`.
///
/// # Errors
///
/// Whatever is wrong with it, it is a miss.
pub fn decode<'a>(envelope: &'a str, key: &CacheKey) -> Result<(Meta, Cow<'a, [u8]>), DecodeError> {
    let (head, body) = envelope.split_once('\n').ok_or(DecodeError::Head)?;
    let mut parts = head.splitn(4, ' ');
    if parts.next() != Some(VERSION) {
        return Err(DecodeError::Version);
    }
    for _ in 0..2 {
        let instant = parts.next().ok_or(DecodeError::Head)?;
        instant.parse::<u64>().map_err(|_| DecodeError::Head)?;
    }
    let wire: Wire<'_> = serde_json::from_str(parts.next().ok_or(DecodeError::Head)?)
        .map_err(|_| DecodeError::Head)?;
    if !(200..=599).contains(&wire.status) {
        return Err(DecodeError::Head);
    }
    if wire.key != key.text() {
        return Err(DecodeError::Key);
    }
    let body = match wire.base64 {
        true => STANDARD_NO_PAD
            .decode(body)
            .map(Cow::Owned)
            .map_err(|_| DecodeError::Body)?,
        false => Cow::Borrowed(body.as_bytes()),
    };
    if body.len() != wire.length || checksum(&body) != wire.checksum {
        return Err(DecodeError::Body);
    }
    let meta = Meta {
        key: wire.key.into_owned(),
        status: wire.status,
        headers: wire.headers.into_owned(),
        request_time: Timestamp::from_millis(wire.request_time),
        response_time: Timestamp::from_millis(wire.response_time),
        age: Duration::from_millis(wire.age),
        vary: wire.vary.into_owned(),
        decoded: wire.decoded,
        generation: wire.generation,
    };
    Ok((meta, body))
}

/// A response could not be written; it is not stored then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response cannot be written as text")]
pub struct EncodeError;

/// What is wrong with a stored text. It is a miss, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is of another version, or not an envelope at all.
    #[error("not an envelope of this version")]
    Version,
    /// Its head does not parse.
    #[error("the head of the envelope does not parse")]
    Head,
    /// It answers another question whose key has the same digest.
    #[error("the envelope belongs to another key")]
    Key,
    /// Its body is not what was stored.
    #[error("the body in the envelope is damaged")]
    Body,
}

/// The JSON in the head.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(rename = "k")]
    key: Cow<'a, str>,
    #[serde(rename = "s")]
    status: u16,
    #[serde(rename = "h")]
    headers: Cow<'a, [(String, String)]>,
    #[serde(rename = "q")]
    request_time: u64,
    #[serde(rename = "p")]
    response_time: u64,
    #[serde(rename = "a", default, skip_serializing_if = "is_zero")]
    age: u64,
    #[serde(rename = "v", default, skip_serializing_if = "<[_]>::is_empty")]
    vary: Cow<'a, [(String, Option<String>)]>,
    #[serde(rename = "d", default, skip_serializing_if = "is_false")]
    decoded: bool,
    #[serde(rename = "g", default, skip_serializing_if = "is_zero")]
    generation: u64,
    #[serde(rename = "b", default, skip_serializing_if = "is_false")]
    base64: bool,
    #[serde(rename = "l")]
    length: usize,
    #[serde(rename = "c")]
    checksum: u64,
}

/// FNV-1a over words of eight bytes: it finds damage, not forgery.
fn checksum(body: &[u8]) -> u64 {
    let (words, rest) = body.as_chunks::<8>();
    let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(FNV_PRIME).rotate_left(29);
    let sum = words
        .iter()
        .fold(FNV_OFFSET, |sum, word| add(sum, u64::from_le_bytes(*word)));
    let sum = rest
        .iter()
        .fold(sum, |sum, byte| add(sum, u64::from(*byte)));
    // JSON numbers are exact up to here for every reader.
    sum >> 11
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

const VERSION: &str = "1";
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
