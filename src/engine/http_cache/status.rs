//! The `Cache-Status` field (RFC 9211).

use std::fmt;

use super::fields::is_token;
use super::policy::Bypass;

/// This cache's member of `Cache-Status` for one response.
///
/// ```
/// # use omnitrade_edge::engine::http_cache::{CacheStatus, Forward};
/// let mut status = CacheStatus::forwarded(Forward::Stale);
/// status.fwd_status = Some(304);
/// status.stored = true;
/// status.detail = Some("redis");
/// assert_eq!(
///     status.append_to(Some("Origin; hit")),
///     "Origin; hit, omnitrade-edge; fwd=stale; fwd-status=304; stored; detail=redis"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// Whether the cache answered, or why it did not (§2.1, §2.2).
    pub handling: Handling,
    /// The status of the origin's response (§2.3), if it is not the one that the client gets.
    pub fwd_status: Option<u16>,
    /// The remaining freshness of the response, in milliseconds; negative if it is stale (§2.4).
    pub ttl_ms: Option<i64>,
    /// Whether the response was stored (§2.5).
    pub stored: bool,
    /// Whether the request waited for the response to another request (§2.6).
    pub collapsed: bool,
    /// Which level answered, or why nothing was stored (§2.8).
    pub detail: Option<&'static str>,
}

/// How a request was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// The cache answered, without the origin (§2.1).
    Hit,
    /// The request went to the origin (§2.2).
    Forwarded(Forward),
}

/// Why a request went to the origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// This cache does not handle the request.
    Bypass,
    /// The method's semantics require it.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// A response is stored, but for other request headers.
    VaryMiss,
    /// Either `uri-miss` or `vary-miss`; it is not known which.
    Miss,
    /// A fresh response is stored, but the request asks for more.
    Request,
    /// A response is stored, but it is stale.
    Stale,
    /// A response is stored, but only a part of it.
    Partial,
}

/// The results that are counted, each with its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// A fresh stored response.
    Hit,
    /// A stale stored response, while it is refreshed.
    Stale,
    /// The response to another request, for which this one has waited.
    Collapsed,
    /// The origin's answer.
    Miss,
    /// The origin's answer to a request that the cache does not handle.
    Bypass,
    /// A stored response in place of an origin that failed or may not be called.
    StaleError,
}

impl CacheResult {
    /// The words, in the order of the variants.
    pub const WORDS: [&'static str; 6] =
        ["hit", "stale", "collapsed", "miss", "bypass", "stale_error"];

    /// Its place among the words.
    pub const fn place(self) -> usize {
        self as usize
    }
}

/// Where a stored response was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In the isolate's memory.
    L1,
    /// In the store.
    Redis,
}

impl Tier {
    /// The words, in the order of the variants.
    pub const WORDS: [&'static str; 2] = ["l1", "redis"];

    /// Its place among the words.
    pub const fn place(self) -> usize {
        self as usize
    }

    /// Its word, which the `detail` of `Cache-Status` is, too.
    pub const fn word(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Redis => "redis",
        }
    }
}

impl CacheStatus {
    /// What is counted of it: the result, and where the response was found, if that is known.
    pub fn counted(&self) -> (CacheResult, Option<Tier>) {
        let mut tiers = [Tier::L1, Tier::Redis].into_iter();
        let tier = tiers.find(|tier| self.detail == Some(tier.word()));
        let result = match self.handling {
            _ if self.detail == Some(IN_PLACE) => CacheResult::StaleError,
            _ if self.collapsed => CacheResult::Collapsed,
            Handling::Hit if self.ttl_ms.is_some_and(|ttl| ttl < 0) => CacheResult::Stale,
            Handling::Hit => CacheResult::Hit,
            Handling::Forwarded(Forward::Bypass | Forward::Method) => CacheResult::Bypass,
            Handling::Forwarded(_) => CacheResult::Miss,
        };
        (result, tier)
    }

    /// The cache answered.
    pub const fn hit() -> Self {
        Self::new(Handling::Hit)
    }

    /// The request went to the origin.
    pub const fn forwarded(why: Forward) -> Self {
        Self::new(Handling::Forwarded(why))
    }

    /// The request bypassed the cache.
    pub const fn bypassed(why: Bypass) -> Self {
        let mut status = Self::forwarded(match why {
            Bypass::Method => Forward::Method,
            Bypass::NoStore
            | Bypass::Precondition
            | Bypass::Content
            | Bypass::Connection
            | Bypass::Upgrade
            | Bypass::Octets
            | Bypass::UnknownQuery => Forward::Bypass,
        });
        status.detail = match why {
            Bypass::Method => None,
            Bypass::NoStore => Some("request-no-store"),
            Bypass::Precondition => Some("precondition"),
            Bypass::Content => Some("content"),
            Bypass::Connection => Some("connection"),
            Bypass::Upgrade => Some("upgrade"),
            Bypass::Octets => Some("octets"),
            Bypass::UnknownQuery => Some("unknown-query"),
        };
        status
    }

    /// The field's value: the members of the caches before this one, then this one's (§2: "appends
    /// its own").
    pub fn append_to(&self, upstream: Option<&str>) -> String {
        match upstream.map(str::trim).filter(|list| !list.is_empty()) {
            Some(list) => format!("{list}, {self}"),
            None => self.to_string(),
        }
    }

    const fn new(handling: Handling) -> Self {
        Self {
            handling,
            fwd_status: None,
            ttl_ms: None,
            stored: false,
            collapsed: false,
            detail: None,
        }
    }
}

impl Forward {
    /// Its token in RFC 9211 §2.2.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        match self.handling {
            Handling::Hit => f.write_str("; hit")?,
            Handling::Forwarded(why) => write!(f, "; fwd={}", why.token())?,
        }
        if let Some(status) = self.fwd_status {
            write!(f, "; fwd-status={status}")?;
        }
        if self.stored {
            f.write_str("; stored")?;
        }
        if self.collapsed {
            f.write_str("; collapsed")?;
        }
        if let Some(ttl) = self.ttl_ms {
            // Rounded down, so that a response that has been stale for less than a second does not
            // look fresh.
            f.write_str("; ttl=")?;
            f.write_str(&ttl.div_euclid(1_000).to_string())?;
        }
        match self.detail {
            Some(detail) if is_sf_token(detail) => {
                f.write_str("; detail=")?;
                f.write_str(detail)
            }
            Some(detail) => write!(f, "; detail=\"{}\"", sf_string(detail)),
            None => Ok(()),
        }
    }
}

/// Whether the text is a token (RFC 9651 §3.3.4).
fn is_sf_token(text: &str) -> bool {
    is_token(text) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
}

/// The content of a string (RFC 9651 §3.3.3), without the characters that a string cannot contain.
fn sf_string(text: &str) -> String {
    let mut content = String::with_capacity(text.len());
    for char in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(char, '"' | '\\') {
            content.push('\\');
        }
        content.push(char);
    }
    content
}

/// The `detail` of a stored response in place of an origin that failed (RFC 5861 §4).
pub const IN_PLACE: &str = "stale-if-error";

const NAME: &str = "omnitrade-edge";
