//! What a stored response may stand in for: an origin that failed or must not be called. And whose answer
//! may stand in for the origin's.

use crate::clock::Timestamp;
use crate::engine::cache::{CacheStatus, Entry, Fields, Forward, OnError, Use, WhyNot, elements};
use crate::engine::proxy_names::is_another_spelling;
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
        self.stores && !each_for_itself && !self.asks_the_origin()
    }

    /// Whether the client wants the origin's own word.
    pub const fn asks_the_origin(&self) -> bool {
        matches!(self.forward, Forward::Request)
    }

    /// Why a response is this client's alone, though it does not say so, if it is: it follows from the
    /// address that the gate tells the origin, or from another spelling of a header that it varies by
    /// (`X_Tenant`), or it finds fault with what is in no key, a `Range` or long headers.
    pub fn is_for_one(
        &self,
        head: &impl Head,
        response: &[(String, String)],
        status: u16,
    ) -> Option<WhyNot> {
        let varies = response.value("vary").unwrap_or_default();
        let by_address = elements(&varies).any(|name| name.eq_ignore_ascii_case("x-forwarded-for"));
        let forwarded = self.forwarded.iter().flat_map(|names| names.iter());
        let reaches = |name: &String| {
            let names = self.forwarded.as_ref();
            names.is_none_or(|names| names.contains(name))
        };
        let by_spelling = !varies.is_empty()
            && head
                .names()
                .iter()
                .filter(|name| reaches(name))
                .any(|name| elements(&varies).any(|varied| is_another_spelling(name, varied)));
        let bytes = forwarded.filter_map(|name| Some(head.value(name)?.len()));
        let faulty = status == 400 && (head.has("range") || bytes.sum::<usize>() > USUAL_BYTES);
        match (by_address || by_spelling, faulty) {
            (true, _) => Some(WhyNot::VaryAny),
            (_, true) => Some(WhyNot::Status),
            _ => None,
        }
    }

    /// Whether this caller holds the lease to fetch it.
    pub fn holds_lease(&self) -> bool {
        self.refresh == Some(Refresh::Mine)
    }

    /// Whether nothing is stored and another caller holds the lease to fetch it.
    pub fn is_refreshed_elsewhere(&self) -> bool {
        self.refresh == Some(Refresh::Elsewhere)
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

/// No server finds headers too long that are no longer than this together, in bytes.
const USUAL_BYTES: usize = 2_048;
