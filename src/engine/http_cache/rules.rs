//! What a route says about caching.

use std::sync::Arc;
use std::time::Duration;

use super::candle::{Candle, Candles};
use super::version::VersionSource;
use crate::clock::Timestamp;

/// A route's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheRules {
    /// Freshness where the response carries none of its own; for the statuses 200, 203, 204, 300,
    /// 301 and 308.
    pub ttl: Option<RouteTtl>,
    /// The same for 400, 404 and 410. What the route says of stale use is not for these.
    pub negative_ttl: Option<Duration>,
    /// `ttl` and `negative_ttl` replace what those responses say about freshness, `no-cache` and `must-revalidate`
    /// included; `no-store`, `private` and `Set-Cookie` still count.
    pub override_origin: bool,
    /// For how long after its lifetime a response may be served while it is refreshed; absent: what
    /// the response says.
    pub stale_while_revalidate: Option<Duration>,
    /// For how long after its lifetime a response may be served at all; absent: what the response
    /// says, or else `stale_while_revalidate`.
    pub stale_if_error: Option<Duration>,
    /// A response that says nothing of its freshness gets a lifetime from its `Last-Modified`
    /// (RFC 9111 §4.2.2).
    pub heuristic: bool,
    /// Server errors that give themselves a lifetime are stored, too, as RFC 9111 §3 allows.
    pub server_errors: bool,
    /// For how long an entry must still be good to be written to the store, fresh or while it is refreshed.
    pub min_ttl: Duration,
    /// Where a response says how new it is, if anywhere.
    pub version: Option<Arc<VersionSource>>,
    /// Responses with `Set-Cookie` are stored with it, as RFC 9111 §7.3 allows.
    pub set_cookie: bool,
    /// An `Age` that is malformed or there twice makes the response stale; else it counts as RFC 9111
    /// §5.1 says.
    pub strict_age: bool,
}

/// A lifetime of the route's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTtl {
    /// So long from the response's arrival on: were it from the request on, an origin slower than
    /// that could never be cached, and would be asked the more often the slower it is.
    Fixed(Duration),
    /// As long as what it says of candles holds.
    Candles(Candles),
}

impl CacheRules {
    /// The lifetime that holds for a response of this status.
    pub fn ttl_for(&self, status: u16) -> Option<RouteTtl> {
        match status {
            200 | 203 | 204 | 300 | 301 | 308 => self.ttl,
            _ if is_negative(status) => self.negative_ttl.map(RouteTtl::Fixed),
            _ => None,
        }
    }

    /// Whether what is fresh until `fresh_until` ends no sooner than an open candle at `now`: an answer
    /// that is asked for before that would end with it, too.
    pub fn ends_with_candle(&self, fresh_until: Timestamp, now: Timestamp) -> bool {
        match self.ttl {
            Some(RouteTtl::Candles(candles)) => candles.interval.close_after(now) <= fresh_until,
            Some(RouteTtl::Fixed(_)) | None => false,
        }
    }

    /// Whether the route has a word in how long a response of this status is served stale.
    pub fn extends(&self, status: u16) -> bool {
        self.negative_ttl.is_none() || !is_negative(status)
    }

    /// Whether the route itself says that its responses live too shortly for the store, whatever the
    /// origin says.
    pub fn keeps_to_isolate(&self) -> bool {
        match (self.ttl, self.stale_while_revalidate) {
            (Some(RouteTtl::Fixed(ttl)), Some(stale)) => {
                self.override_origin && ttl.saturating_add(stale) < self.min_ttl
            }
            _ => false,
        }
    }
}

impl RouteTtl {
    /// From when a response was asked for, by its `Age` and [`RouteTtl::Candles`]'s rule: for how long it
    /// is fresh if it takes no time, and if it takes `delay` to arrive.
    pub(super) fn lengths(self, asked: Timestamp, delay: Duration) -> (Duration, Duration) {
        match self {
            Self::Fixed(ttl) => (ttl, ttl.saturating_add(delay)),
            Self::Candles(candles) => match candles.at(asked) {
                Candle::Closed => (Candles::LONGEST, Candles::LONGEST),
                // However late it arrives, it says nothing of what comes after the close.
                Candle::Open(closes) => {
                    let ttl = candles.open_ttl.unwrap_or(closes).min(closes);
                    (ttl, ttl.saturating_add(delay).min(closes))
                }
            },
        }
    }
}

/// What is asked for is not there, or not asked for rightly.
const fn is_negative(status: u16) -> bool {
    matches!(status, 400 | 404 | 410)
}
