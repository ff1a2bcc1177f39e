//! A request that the cache cannot answer, before and after it goes to the origin.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::http_cache::{CONDITIONAL, Forward, revalidation_headers};
use crate::message::body::Body;
use crate::message::forward::Fetch;

use super::lookup::Lookup;

/// A request that has to go to the origin: the cache cannot answer it, or its entry is to be
/// refreshed.
#[derive(Debug)]
pub struct Miss<B: Body> {
    /// What is known of the response.
    pub lookup: Lookup<B>,
    /// Why the request goes to the origin.
    pub why: Forward,
    /// How long the origin may take, if that is less than its route allows.
    pub within: Option<Duration>,
}

/// A request that has gone to the origin, and whose answer the cache will look at.
#[derive(Debug)]
pub struct Fetching<B: Body> {
    /// What is known of the response.
    pub lookup: Lookup<B>,
    /// Why the request goes to the origin.
    pub why: Forward,
    /// When the request was sent.
    pub sent_at: Timestamp,
    /// Whether the request goes to the origin outside the single flight, so that others may fetch
    /// the same key at the same time. Then the response is not written to the store, because
    /// otherwise each of these requests would write it.
    pub uncollapsed: bool,
}

impl<B: Body> Miss<B> {
    /// A request that goes to the origin for this reason.
    pub const fn new(lookup: Lookup<B>, why: Forward) -> Self {
        Self {
            lookup,
            why,
            within: None,
        }
    }

    /// Whether the client's own directives require the origin's answer.
    pub const fn asks_the_origin(&self) -> bool {
        matches!(self.why, Forward::Request)
    }

    /// Changes `fetch` from a request for one client into a request for the cache: the validators
    /// of the stored response replace the client's own conditions. It asks for the whole
    /// representation unless the client asks for a range. `uncollapsed`: the request goes to the
    /// origin outside the single flight.
    pub fn prepare(mut self, fetch: &mut Fetch, uncollapsed: bool, now: Timestamp) -> Fetching<B> {
        if let Some(time) = self.within {
            fetch.timeout = fetch.timeout.min(time);
        }
        let request = &self.lookup.request;
        fetch.keep = request.forwarded.as_ref().map(|names| {
            let own = CONDITIONAL.iter().map(|name| name.as_str().to_owned());
            names.iter().cloned().chain(own).collect()
        });
        let hit = self.lookup.hit.as_ref();
        let validators = hit.map(|hit| revalidation_headers(&hit.entry.meta));
        let validators = validators.unwrap_or_default();
        if request.ranged && validators.is_empty() {
            // The client's own conditions stay in the request, and the answer to them says nothing
            // about the stored response.
            self.lookup.hit = None;
        } else {
            let part = |name: &http::HeaderName| matches!(name.as_str(), "range" | "if-range");
            let names = CONDITIONAL
                .iter()
                .filter(|name| !(request.ranged && part(name)));
            fetch
                .remove
                .extend(names.map(|name| name.as_str().to_owned()));
            let named = |(name, value): (http::HeaderName, String)| (name.to_string(), value);
            fetch.set.extend(validators.into_iter().map(named));
        }
        Fetching {
            lookup: self.lookup,
            why: self.why,
            sent_at: now,
            uncollapsed,
        }
    }
}

impl<B: Body> Fetching<B> {
    /// Turns back into a miss, to be sent to the origin again without a condition.
    pub fn without_condition(mut self) -> Miss<B> {
        self.lookup.hit = None;
        Miss::new(self.lookup, self.why)
    }
}
