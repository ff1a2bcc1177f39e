//! The body in an envelope: as it is where it is short text, else compressed or in base64.
//!
//! Compressed means deflate (RFC 1951) at level 2, in base64 because the store takes text only. Of what
//! was measured in wasm on the sample API's answers (`npm run bench -- compression` measures this one
//! again), deflate leaves two thirds of the bytes that LZ4 and Snappy leave, at about LZ4's price in
//! time, for 16 kB more of Worker against 4; from level 4 on a body of 1 MB takes too long. Base85 and
//! base91 would save 6 % more, and take four times base64's time.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use miniz_oxide::{deflate, inflate};
use serde::{Deserialize, Serialize};

/// The largest body that an envelope may hold, in bytes: 16 MB.
pub const LARGEST_BODY: usize = 16 << 20;

/// How a body is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writing {
    /// As it is; it is UTF-8.
    #[default]
    #[serde(rename = "p")]
    Plain,
    /// In base64.
    #[serde(rename = "b")]
    Base64,
    /// Compressed, and that in base64.
    #[serde(rename = "z")]
    Deflate,
}

impl Writing {
    /// Whether it is as it is.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Writes a body as text; compressed if it has at least `compress_from` bytes and that makes it shorter.
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

/// Reads a body of `length` bytes back; `None` if it is not one. It takes no more memory than that.
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

/// Whether it is worth a try: the start of a long body tells. What was compressed before, a picture say,
/// takes the longest and gains nothing.
fn is_compressible(body: &[u8]) -> bool {
    match body.get(..SAMPLE) {
        Some(start) if body.len() >= LONG => {
            let packed = deflate::compress_to_vec(start, LEVEL).len();
            base64_len(packed) < start.len()
        }
        _ => true,
    }
}

/// The length of so many bytes in base64, without padding.
const fn base64_len(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

const LEVEL: u8 = 2;

/// From how many bytes on a body is tried first, and by how many.
const LONG: usize = 64 << 10;
const SAMPLE: usize = 4 << 10;
