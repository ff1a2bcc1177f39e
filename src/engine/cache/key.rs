//! What names a stored response: the question, made canonical, and its digest.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::fields::Fields;
use super::query::{DeclaredQuery, canonical_query};
use super::vary::{hex, selector};

/// The parts of a request's URL that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// As `https`.
    pub scheme: &'a str,
    /// The host, with its port if the URL names one.
    pub host: &'a str,
    /// The path; `/` if the URL has none.
    pub path: &'a str,
    /// What follows the first `?`, without it.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes an absolute URL apart; `None` if it is not one. A fragment is left out.
    ///
    /// ```
    /// # use omnitrade_edge::engine::cache::Target;
    /// let target = Target::of("https://api.example/v1/depth?symbol=BTCUSDT#top").unwrap();
    /// assert_eq!((target.host, target.path), ("api.example", "/v1/depth"));
    /// assert_eq!(target.query, Some("symbol=BTCUSDT"));
    /// ```
    pub fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, "/"),
        };
        (!scheme.is_empty() && !host.is_empty()).then_some(Self {
            scheme,
            host,
            path,
            query,
        })
    }
}

/// The name of a stored response.
///
/// Its text is the list of what was asked for, each field with its length before it, so that two
/// different questions never have the same text. Its digest is what the store and L1 look up; the
/// text is stored with the response and compared when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    text: String,
    digest: [u8; DIGEST_BYTES],
}

impl CacheKey {
    /// The key of a `GET` or `HEAD` (RFC 9111 §2: both are answered by the response to a `GET`).
    ///
    /// `declared` are the parameters that count; `None`: all, in their order.
    /// `vary` are the request headers that the route keys by; of their values only digests are in
    /// the text, as they may be credentials.
    ///
    /// Two spellings of a URL that RFC 3986 §6.2.2 calls equivalent give the same key: the case of
    /// scheme and host, the default port, `%7e` for `%7E` for `~`.
    pub fn new<F: Fields + ?Sized>(
        target: &Target<'_>,
        declared: Option<&DeclaredQuery>,
        vary: &[String],
        request: &F,
    ) -> Self {
        let scheme = target.scheme.to_ascii_lowercase();
        let host = target.host.to_ascii_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let query = canonical_query(target.query, declared);
        let mut text = String::from(SCHEMA);
        field(&mut text, Some("GET"));
        field(&mut text, Some(&scheme));
        field(&mut text, Some(host.strip_suffix(port).unwrap_or(&host)));
        field(&mut text, Some(&normal(target.path)));
        field(&mut text, query.as_deref());
        for name in vary {
            let name = name.to_ascii_lowercase();
            field(&mut text, Some(&name));
            field(&mut text, selector(request, &name).as_deref());
        }
        Self::of_text(text)
    }

    /// The key of one of several responses under this one: `generation` and the request headers that
    /// tell them apart, by name and digest.
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

    /// What was asked for, as it is stored with the response.
    ///
    /// Past [`MAX_TEXT`](Self::MAX_TEXT) bytes it is a SHA-256 digest of that.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest: 128 bits of SHA-256.
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        self.digest
    }

    /// The digest in lower-case hexadecimal, for the key of the store.
    pub fn hex(&self) -> String {
        hex(self.digest.iter())
    }

    /// The longest text that is kept as it is, in bytes.
    pub const MAX_TEXT: usize = 2_048;

    fn of_text(text: String) -> Self {
        let hash = Sha256::digest(text.as_bytes());
        let mut digest = [0; DIGEST_BYTES];
        for (to, from) in digest.iter_mut().zip(hash.iter()) {
            *to = *from;
        }
        match text.len() > Self::MAX_TEXT {
            true => Self {
                text: format!("#{}", hex(hash.iter())),
                digest,
            },
            false => Self { text, digest },
        }
    }
}

/// A path with normal escapes: what the key is made of, and what goes to the origin.
pub fn normal_path(path: &str) -> Cow<'_, str> {
    normal(path)
}

/// Writes one field so that its end is known: its length, and itself; `-` if it is absent.
fn field(text: &mut String, value: Option<&str>) {
    text.push(' ');
    match value {
        // Writing to a string does not fail.
        Some(value) => drop(write!(text, "{}:{value}", value.len())),
        None => text.push('-'),
    }
}

/// RFC 3986 §6.2.2.1 and §6.2.2.2: escapes in upper case, and none for unreserved characters.
///
/// Text with a broken escape stays as it is: an escape taken out beside it could make it whole.
pub(super) fn normal(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    normalised(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn normalised(text: &str) -> Option<String> {
    let mut normal = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            normal.push(char);
            continue;
        }
        let (high, low) = (chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?);
        let byte = u8::try_from(high * 16 + low).ok()?;
        match char::from(byte) {
            plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => normal.push(plain),
            _ => drop(write!(normal, "%{byte:02X}")),
        }
    }
    Some(normal)
}

/// Stands at the head of every key: another one whenever the text changes its meaning.
const SCHEMA: &str = "1";

/// The same for the key of a variant; no other key begins like this.
const VARIANT: &str = "1v";

const DIGEST_BYTES: usize = 16;
