//! What a route says about caching.

use std::sync::Arc;
use std::time::Duration;

use super::version::VersionSource;

/// A route's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheRules {
    /// Freshness where the response carries none of its own; for the statuses 200, 203, 204, 300,
    /// 301 and 308.
    pub ttl: Option<Duration>,
    /// `ttl` replaces what those responses say about freshness, `no-cache` and `must-revalidate`
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

impl CacheRules {
    /// The `ttl` that holds for a response of this status.
    pub fn ttl_for(&self, status: u16) -> Option<Duration> {
        self.ttl
            .filter(|_| matches!(status, 200 | 203 | 204 | 300 | 301 | 308))
    }

    /// Whether the route itself says that its responses live too shortly for the store, whatever the
    /// origin says.
    pub fn keeps_to_isolate(&self) -> bool {
        match (self.ttl, self.stale_while_revalidate) {
            (Some(ttl), Some(stale)) => {
                self.override_origin && ttl.saturating_add(stale) < self.min_ttl
            }
            _ => false,
        }
    }
}
