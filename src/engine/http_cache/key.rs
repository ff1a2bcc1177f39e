//! The key of a stored response: a canonical text of the request, and its digest.

use std::cell::OnceCell;

use sha2::{Digest, Sha256};

use super::super::subject::hex;
use super::fields::Fields;
use super::query::{DeclaredQuery, canonical_query};
use super::vary::selector;
use crate::engine::url::Target;

/// The key of a stored response.
///
/// Its text lists the parts of the request, each with its length before it, so that two different
/// requests never have the same text. The store looks entries up by the digest of the text, which
/// is computed when it is first needed. The text is stored with the response and compared when the
/// response is read.
#[derive(Debug, Clone)]
pub struct CacheKey {
    text: String,
    digest: OnceCell<[u8; DIGEST_BYTES]>,
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CacheKey {}

impl CacheKey {
    /// The key of a `GET` or `HEAD` (RFC 9111 §2: both are answered by the response to a `GET`).
    ///
    /// `declared` are the query parameters that count; `None`: all of them count, in their order.
    /// `vary` are the request headers that the route keys by. The text contains only digests of
    /// their values, because they may be credentials.
    ///
    /// All spellings of a URL give the same key: it is built from the normal form ([`Target`]),
    /// which the origin is sent.
    pub fn new<F: Fields + ?Sized>(
        target: &Target<'_>,
        declared: Option<&DeclaredQuery>,
        vary: &[String],
        request: &F,
    ) -> Self {
        let query = canonical_query(target.query(), declared);
        let mut text = String::from(SCHEMA);
        field(&mut text, Some("GET"));
        field(&mut text, Some(target.scheme()));
        field(&mut text, Some(target.host()));
        field(&mut text, Some(target.path()));
        field(&mut text, query.as_deref());
        for name in vary {
            let name = name.to_ascii_lowercase();
            field(&mut text, Some(&name));
            field(&mut text, selector(request, &name).as_deref());
        }
        Self::of_text(text)
    }

    /// The key of one of several responses under this key. `generation` and the request headers
    /// that distinguish the responses, by name and digest, become part of it.
    pub(super) fn variant(&self, generation: u64, selectors: &[(String, Option<String>)]) -> Self {
        let mut text = String::from(VARIANT);
        field(&mut text, Some(&self.text));
        field(&mut text, Some(&generation.to_string()));
        for (name, digest) in selectors {
            field(&mut text, Some(name));
            field(&mut text, digest.as_deref());
        }
        Self::of_text(text)
    }

    /// The text of the request, as it is stored with the response.
    ///
    /// If it is longer than [`MAX_TEXT`](Self::MAX_TEXT) bytes, its SHA-256 digest, with a `#`
    /// before it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest: 128 bits of SHA-256.
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        *self
            .digest
            .get_or_init(|| first(&Sha256::digest(self.text.as_bytes())))
    }

    /// The digest in lower-case hexadecimal, for the key of the store.
    pub fn hex(&self) -> String {
        hex(self.digest().iter())
    }

    /// The longest text that is stored in full, in bytes.
    pub const MAX_TEXT: usize = 2_048;

    fn of_text(text: String) -> Self {
        if text.len() <= Self::MAX_TEXT {
            let digest = OnceCell::new();
            return Self { text, digest };
        }
        let hash = Sha256::digest(text.as_bytes());
        Self {
            text: format!("#{}", hex(hash.iter())),
            digest: OnceCell::from(first(&hash)),
        }
    }
}

/// The bytes of a hash that make the digest.
fn first(hash: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    for (to, from) in digest.iter_mut().zip(hash) {
        *to = *from;
    }
    digest
}

/// Writes one field as its length and its value, so that its end is known; `-` if it is absent.
fn field(text: &mut String, value: Option<&str>) {
    text.push(' ');
    match value {
        Some(value) => {
            text.push_str(itoa::Buffer::new().format(value.len()));
            text.push(':');
            text.push_str(value);
        }
        None => text.push('-'),
    }
}

/// The first word of every key. It must change whenever the meaning of the text changes.
const SCHEMA: &str = "1";

/// The first word of the key of a variant. No other key begins with it.
const VARIANT: &str = "1v";

const DIGEST_BYTES: usize = 16;
