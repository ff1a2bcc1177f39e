//! What a stored response may stand in for: an origin that failed or must not be called. And whose answer
//! may stand in for the origin's.

use crate::clock::Timestamp;
use crate::engine::cache::{CacheStatus, Entry, Forward, OnError, Use};
use crate::limiter::Refresh;

use super::super::answer::Answer;
use super::super::body::Body;
use super::super::head::Head;
use super::super::stored::served;
use super::Cached;

impl<B: Body> Cached<B> {
    /// Whether the answer to another request for the same could serve this one, too.
    pub const fn is_collapsible(&self) -> bool {
        // What lives too shortly for the store still goes to all in the isolate.
        let each_for_itself =
            matches!(self.refresh, Some(Refresh::Unstored)) && self.rules.min_ttl.is_zero();
        self.stores && !each_for_itself && !matches!(self.forward, Forward::Request)
    }

    /// Whether this caller holds the lease to fetch it.
    pub fn holds_lease(&self) -> bool {
        self.refresh == Some(Refresh::Mine)
    }

    /// Whether nothing is stored and another caller holds the lease to fetch it.
    pub fn is_refreshed_elsewhere(&self) -> bool {
        self.refresh == Some(Refresh::NotMine)
    }

    /// The stored response in place of a failure of the origin, if it may still be served.
    pub fn answer_on_error(
        &self,
        head: &impl Head,
        fwd_status: Option<u16>,
        now: Timestamp,
    ) -> Option<Answer<B>> {
        let entry = self.usable_on_error(head, now)?;
        let mut status = CacheStatus::forwarded(self.forward);
        status.fwd_status = fwd_status;
        status.ttl_ms = Some(entry.freshness.ttl_left(now));
        status.detail = Some("stale-if-error");
        Some(served(entry, head, status, now))
    }

    /// The same in place of a call of the origin that must not be made.
    pub fn answer_in_place(&self, head: &impl Head, now: Timestamp) -> Option<Answer<B>> {
        let entry = self.usable_on_error(head, now)?;
        let mut status = CacheStatus::hit();
        status.ttl_ms = Some(entry.freshness.ttl_left(now));
        status.detail = Some("origin-quota");
        Some(served(entry, head, status, now))
    }

    fn usable_on_error(&self, head: &impl Head, now: Timestamp) -> Option<&Entry<B>> {
        let entry = &self.found.as_ref()?.entry;
        let usable = match self.evaluate(head, now)? {
            Use::Fresh { .. } | Use::StaleWhileRevalidate { .. } => true,
            Use::Stale { on_error, .. } => {
                matches!(on_error, OnError::ServeUntil(until) if now < until)
            }
            Use::VaryMismatch | Use::Unusable(_) => false,
        };
        usable.then_some(entry)
    }
}
