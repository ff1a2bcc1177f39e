//! How the responses of a route are cached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::duration::{self, parse_duration};
use super::version;
use crate::engine::http_cache::{Letters, VersionSource};

/// How the responses of a route are cached.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Cache {
    /// How long a response is fresh that does not say so itself.
    #[serde(default)]
    pub ttl: Option<Ttl>,
    /// The longest that an answer with an open candle is fresh, with [`Ttl::Candle`].
    #[serde(default, deserialize_with = "duration::optional")]
    pub open_ttl: Option<Duration>,
    /// How long a 400, 404 or 410 is fresh that does not say so itself.
    #[serde(default, deserialize_with = "duration::optional")]
    pub negative_ttl: Option<Duration>,
    /// Whether `ttl` and `negative_ttl` replace what the response says.
    pub override_origin: bool,
    /// How long after that it is served while it is refreshed.
    #[serde(default, deserialize_with = "duration::optional")]
    pub stale_while_revalidate: Option<Duration>,
    /// How long after that it is served when the origin fails.
    #[serde(default, deserialize_with = "duration::optional")]
    pub stale_if_error: Option<Duration>,
    /// Whether a response that says nothing of its freshness gets a lifetime from its
    /// `Last-Modified`; if absent, where there is no [`ttl`](Self::ttl).
    #[serde(default)]
    pub heuristic: Option<bool>,
    /// Whether server errors that give themselves a lifetime are stored.
    pub server_errors: bool,
    /// What is left of the time for which an entry is served without asking the origin, for it to be
    /// written to the store at all; one with less stays in the isolate.
    #[serde(deserialize_with = "duration::required")]
    pub min_ttl: Duration,
    /// Where a response says which of two is the newer; if absent, that is the one that came later.
    #[serde(default, deserialize_with = "version::optional")]
    pub version: Option<Arc<VersionSource>>,
    /// Whether responses that set cookies are stored, with them.
    pub set_cookie: bool,
    /// Whether an `Age` that is malformed or there twice makes a response stale.
    pub strict_age: bool,
    /// The only query parameters that reach the key and the origin; all if absent.
    #[serde(default)]
    pub query: Option<Vec<String>>,
    /// The letters that the values of parameters of [`query`](Self::query) are written with.
    pub normalize: BTreeMap<String, Letters>,
    /// The values of parameters of [`query`](Self::query) that a request leaves out.
    pub defaults: BTreeMap<String, String>,
    /// Request headers to key by, beside the response's own `Vary`.
    pub vary: Vec<String>,
    /// The only request headers that reach the origin where there is a [`query`](Self::query), beside
    /// those of [`vary`](Self::vary); if absent, a few that are known to be harmless.
    #[serde(default)]
    pub forward: Option<Vec<String>>,
    /// Names under which entries are purged together.
    pub tags: Vec<String>,
    /// For how long an isolate believes what it has in memory without asking the store whether it was
    /// purged.
    #[serde(default, deserialize_with = "duration::optional")]
    pub l1_max_age: Option<Duration>,
}

impl Cache {
    /// For how long an isolate believes what it has in memory; `None`: as long as that lives. What has
    /// tags is believed for a second, unless [`l1_max_age`](Self::l1_max_age) says otherwise.
    pub fn believed_for(&self) -> Option<Duration> {
        let by_default = (!self.tags.is_empty()).then_some(BELIEVED);
        self.l1_max_age.or(by_default)
    }
}

/// How long a response is fresh that does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// So long.
    For(Duration),
    /// As long as what it says of candles holds, by the query's `interval` and `endTime`.
    Candle,
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "expected a duration such as \"60s\" or \"candle\"";
        match (text.as_str(), parse_duration(&text)) {
            ("candle", _) => Ok(Self::Candle),
            (_, Some(duration)) => Ok(Self::For(duration)),
            (_, None) => Err(D::Error::custom(expected)),
        }
    }
}

/// Within this time a purge is known everywhere, by default.
const BELIEVED: Duration = Duration::from_secs(1);
