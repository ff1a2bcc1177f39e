//! How the responses of a route are cached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::read::{Misread, Read, tables, words};
use crate::engine::http_cache::{Letters, VersionSource};

/// How the responses of a route are cached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cache {
    /// How long a response is fresh if it names no lifetime of its own.
    pub ttl: Option<Ttl>,
    /// With [`Ttl::Candle`]: the longest that a response with an open candle is fresh.
    pub open_ttl: Option<Duration>,
    /// How long a response with one of the [`negative_statuses`](Self::negative_statuses) is fresh
    /// if it names no lifetime of its own.
    pub negative_ttl: Option<Duration>,
    /// The statuses to which [`negative_ttl`](Self::negative_ttl) applies; 400, 404 and 410 if
    /// absent.
    pub negative_statuses: Option<Vec<u16>>,
    /// Whether `ttl` and `negative_ttl` replace the lifetime that the response names.
    pub override_origin: bool,
    /// How long after its lifetime an entry is served while it is refreshed.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its lifetime an entry is served if the origin fails.
    pub stale_if_error: Option<Duration>,
    /// Whether a response that names no lifetime gets one from its `Last-Modified`; if absent, it
    /// does unless there is a [`ttl`](Self::ttl).
    pub heuristic: Option<bool>,
    /// Whether server errors that name a lifetime of their own are stored.
    pub server_errors: bool,
    /// How long an entry must still be usable without asking the origin first, to be written to the
    /// store. An entry with less time left stays in the isolate.
    pub min_ttl: Duration,
    /// Where a response says how new it is, so that a newer one is never replaced by an older one;
    /// if absent, the later response replaces the earlier one.
    pub version: Option<Arc<VersionSource>>,
    /// Whether responses that set cookies are stored, together with the cookies.
    pub set_cookie: bool,
    /// Whether a malformed or repeated `Age` makes a response stale.
    pub strict_age: bool,
    /// The only query parameters that reach the cache key and the origin; all if absent.
    pub query: Option<Vec<String>>,
    /// What happens to a request with a query parameter that [`query`](Self::query) does not name.
    pub unknown_query: UnknownQuery,
    /// The case in which the values of these parameters of [`query`](Self::query) are written.
    pub normalize: BTreeMap<String, Letters>,
    /// The values of these parameters of [`query`](Self::query) if a request leaves them out.
    pub defaults: BTreeMap<String, String>,
    /// Request headers that select a variant, in addition to the response's own `Vary`.
    pub vary: Vec<String>,
    /// If there is a [`query`](Self::query): the only request headers that reach the origin, in
    /// addition to those in [`vary`](Self::vary); if absent, a few that are known to be harmless.
    pub forward: Option<Vec<String>>,
    /// Names by which entries are purged together.
    pub tags: Vec<String>,
    /// How long an isolate may use an entry in its memory without asking the store whether it was
    /// purged.
    pub l1_max_age: Option<Duration>,
}

tables! {
    Cache {
        ttl, open_ttl, negative_ttl, negative_statuses, override_origin, stale_while_revalidate,
        stale_if_error, heuristic, server_errors, min_ttl, version, set_cookie, strict_age, query,
        unknown_query, normalize, defaults, vary, forward, tags, l1_max_age,
    }
}

words! {
    UnknownQuery { "drop": Drop, "pass": Pass, "refuse": Refuse }
}

impl Read for Ttl {
    fn read(value: &Value, misread: &Misread) -> Self {
        match value.as_str() {
            Some("candle") => Self::Candle,
            _ => Self::For(Duration::read(value, misread)),
        }
    }
}

impl Cache {
    /// How long an isolate may use an entry in its memory without asking the store; `None`: as long
    /// as the entry lives. The default is one second for entries with tags, and `None` for others
    /// ([`l1_max_age`](Self::l1_max_age)).
    pub fn believed_for(&self) -> Option<Duration> {
        let by_default = (!self.tags.is_empty()).then_some(BELIEVED);
        self.l1_max_age.or(by_default)
    }
}

/// What happens to a request with a query parameter that the route does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownQuery {
    /// The parameter is left out.
    Drop,
    /// The request goes to the origin as it is, past the cache.
    Pass,
    /// The gate answers with 400.
    Refuse,
}

/// How long a response is fresh if it names no lifetime of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// For this long.
    For(Duration),
    /// As long as its candles stay as they are, judged by `interval` and `endTime` of the query.
    Candle,
}

/// How long an entry with tags is used without asking the store, by default; so every isolate
/// notices a purge within this time.
const BELIEVED: Duration = Duration::from_secs(1);
