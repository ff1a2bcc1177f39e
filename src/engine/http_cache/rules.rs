//! The settings of a route that concern caching.

use std::sync::Arc;
use std::time::Duration;

use super::candle::{Candle, Candles};
use super::version::VersionSource;
use crate::clock::Timestamp;

/// A route's cache settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheRules {
    /// The lifetime of responses with status 200, 203, 204, 300, 301 or 308 that state none
    /// themselves.
    pub ttl: Option<RouteTtl>,
    /// The lifetime of negative responses that state none themselves. If it is set, the route's
    /// stale windows do not apply to them.
    pub negative_ttl: Option<Duration>,
    /// The statuses of negative responses; `None`: 400, 404 and 410.
    pub negative_statuses: Option<Arc<[u16]>>,
    /// Whether `ttl` and `negative_ttl` replace what those responses say about freshness, including
    /// `no-cache` and `must-revalidate`. `no-store`, `private` and `Set-Cookie` still count.
    pub override_origin: bool,
    /// How long after its lifetime a response may be served while it is refreshed. If absent, the
    /// response decides.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its lifetime a response may be served at all. If absent, the response
    /// decides; if it says nothing either, `stale_while_revalidate` applies.
    pub stale_if_error: Option<Duration>,
    /// Whether a response that says nothing about its freshness gets a lifetime from its
    /// `Last-Modified` (RFC 9111 §4.2.2).
    pub heuristic: bool,
    /// Whether server errors that state a lifetime are stored, too, as RFC 9111 §3 allows.
    pub server_errors: bool,
    /// How long an entry must still be usable, fresh or while it is refreshed, to be written to the
    /// store.
    pub min_ttl: Duration,
    /// Where a response contains its version, if anywhere.
    pub version: Option<Arc<VersionSource>>,
    /// Whether responses with `Set-Cookie` are stored, with that field, as RFC 9111 §7.3 allows.
    pub set_cookie: bool,
    /// Whether a malformed or repeated `Age` makes the response stale. If not, it counts as RFC
    /// 9111 §5.1 says.
    pub strict_age: bool,
}

/// A lifetime that a route sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTtl {
    /// This long from the response's arrival. If it counted from the request, an origin slower than
    /// the lifetime could never be cached, and would be asked more often the slower it is.
    Fixed(Duration),
    /// As long as the candles in the response do not change.
    Candles(Candles),
}

impl CacheRules {
    /// The lifetime that the route sets for a response with this status.
    pub fn ttl_for(&self, status: u16) -> Option<RouteTtl> {
        match status {
            200 | 203 | 204 | 300 | 301 | 308 => self.ttl,
            _ if self.is_negative(status) => self.negative_ttl.map(RouteTtl::Fixed),
            _ => None,
        }
    }

    /// Whether the route gives responses with this status the lifetime `negative_ttl`, because they
    /// say that the resource does not exist or that the request is wrong.
    pub fn is_negative(&self, status: u16) -> bool {
        let statuses = self.negative_statuses.as_deref().unwrap_or(&NEGATIVE);
        self.negative_ttl.is_some() && statuses.contains(&status)
    }

    /// The rules for a response of the origin that is shared for `length` because it failed. The
    /// route's own lifetimes do not apply to it, and it is never served stale.
    #[must_use]
    pub fn for_failure(&self, status: u16, length: Duration) -> Self {
        Self {
            ttl: None,
            negative_ttl: Some(length),
            negative_statuses: Some([status].into()),
            heuristic: false,
            version: None,
            ..self.clone()
        }
    }

    /// Whether an entry that is fresh until `fresh_until` ends no sooner than the candle that is
    /// open at `now`. If so, a response requested before that candle closes would not be fresh for
    /// longer.
    pub fn ends_with_candle(&self, fresh_until: Timestamp, now: Timestamp) -> bool {
        match self.ttl {
            Some(RouteTtl::Candles(candles)) => candles.interval.close_after(now) <= fresh_until,
            Some(RouteTtl::Fixed(_)) | None => false,
        }
    }

    /// Whether the route's stale windows apply to a response with this status.
    pub fn extends(&self, status: u16) -> bool {
        !self.is_negative(status)
    }

    /// Whether the route alone, whatever the origin says, makes the lifetime of its responses too
    /// short for the store.
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
    /// How long a response requested at `asked`, as corrected by its `Age`, is fresh: if it takes
    /// no time to arrive, and if it takes `delay`. Both count from `asked`.
    pub(super) fn lengths(self, asked: Timestamp, delay: Duration) -> (Duration, Duration) {
        match self {
            Self::Fixed(ttl) => (ttl, ttl.saturating_add(delay)),
            Self::Candles(candles) => match candles.at(asked) {
                Candle::Closed => (Candles::LONGEST, Candles::LONGEST),
                // However late the response arrives, it says nothing about the time after the
                // close.
                Candle::Open(closes) => {
                    let ttl = candles.open_ttl.unwrap_or(closes).min(closes);
                    (ttl, ttl.saturating_add(delay).min(closes))
                }
            },
        }
    }
}

/// The statuses of negative responses, unless the route names others.
const NEGATIVE: [u16; 3] = [400, 404, 410];
