//! The body in an envelope: unchanged if it is short text, otherwise compressed or in base64.
//!
//! Compressed means deflate (RFC 1951) at level 2, in base64 because the store takes text only.
//! This was measured in wasm on the sample API's responses (`npm run bench -- compression` measures
//! the chosen method again): deflate leaves two thirds of the bytes that LZ4 and Snappy leave, in
//! about LZ4's time, and is four times as much code; from level 4 on a body of 1 MB
//! takes too long. Base85 and base91 would save 6 %, but take four times as long as base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use miniz_oxide::{deflate, inflate};
use serde::Serialize;

/// The largest body that an envelope may hold, in bytes: 16 MB.
pub const LARGEST_BODY: usize = 16 << 20;

/// The form in which a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Writing {
    /// Unchanged; the body is UTF-8.
    #[serde(rename = "p")]
    Plain,
    /// In base64.
    #[serde(rename = "b")]
    Base64,
    /// Compressed, then in base64.
    #[serde(rename = "z")]
    Deflate,
}

impl Writing {
    /// The form with this name in the head of an envelope.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "p" => Some(Self::Plain),
            "b" => Some(Self::Base64),
            "z" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// Whether the body is written unchanged.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Writes a body as text. It is compressed if it has at least `compress_from` bytes and compression
/// makes it shorter.
pub fn write(body: &[u8], compress_from: Option<usize>) -> (Writing, Cow<'_, str>) {
    let plain = std::str::from_utf8(body).ok();
    let otherwise = plain.map_or_else(|| base64_len(body.len()), str::len);
    if compress_from.is_some_and(|least| body.len() >= least)
        && is_compressible(body)
        && let packed = deflate::compress_to_vec(body, LEVEL)
        && base64_len(packed.len()) < otherwise
    {
        return (Writing::Deflate, STANDARD_NO_PAD.encode(packed).into());
    }
    match plain {
        Some(text) => (Writing::Plain, text.into()),
        None => (Writing::Base64, STANDARD_NO_PAD.encode(body).into()),
    }
}

/// Reads a body of `length` bytes. `None` if the text is not such a body. It allocates no more
/// memory than the body needs.
pub fn read(writing: Writing, text: &str, length: usize) -> Option<Cow<'_, [u8]>> {
    if length > LARGEST_BODY {
        return None;
    }
    let body = match writing {
        Writing::Plain => Cow::Borrowed(text.as_bytes()),
        Writing::Base64 => Cow::Owned(STANDARD_NO_PAD.decode(text).ok()?),
        Writing::Deflate => {
            let packed = STANDARD_NO_PAD.decode(text).ok()?;
            Cow::Owned(inflate::decompress_to_vec_with_limit(&packed, length).ok()?)
        }
    };
    (body.len() == length).then_some(body)
}

/// Whether compression is worth trying; for a long body, its start decides. A body that is already
/// compressed, such as a picture, takes the longest to compress and does not become shorter.
fn is_compressible(body: &[u8]) -> bool {
    match body.get(..SAMPLE) {
        Some(start) if body.len() >= LONG => {
            let packed = deflate::compress_to_vec(start, LEVEL).len();
            base64_len(packed) < start.len()
        }
        _ => true,
    }
}

/// The length of this many bytes in base64, without padding.
const fn base64_len(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

const LEVEL: u8 = 2;

/// A body of at least `LONG` bytes is compressed only if its first `SAMPLE` bytes become shorter.
const LONG: usize = 64 << 10;
const SAMPLE: usize = 4 << 10;
