//! A request that the cache cannot answer, before and on its way to the origin.

use crate::clock::Timestamp;
use crate::engine::http_cache::{CONDITIONAL, Forward, revalidation_headers};
use crate::message::body::Body;
use crate::message::forward::Fetch;

use super::lookup::Lookup;

/// A request that the cache cannot answer, or whose entry is to be refreshed: it is to go to the origin.
#[derive(Debug)]
pub struct Miss<B: Body> {
    /// What is known of the response.
    pub lookup: Lookup<B>,
    /// Why it goes to the origin.
    pub why: Forward,
}

/// A request on its way to the origin, for the cache.
#[derive(Debug)]
pub struct Fetching<B: Body> {
    /// What is known of the response.
    pub lookup: Lookup<B>,
    /// Why it goes to the origin.
    pub why: Forward,
    /// When it went there.
    pub sent_at: Timestamp,
    /// Whether it goes beside others that ask the same: not each of them writes to the store.
    pub uncollapsed: bool,
}

impl<B: Body> Miss<B> {
    /// Whether the client wants the origin's own word.
    pub const fn asks_the_origin(&self) -> bool {
        matches!(self.why, Forward::Request)
    }

    /// Makes a request for one client into a request for the cache: for the whole, and conditional on
    /// what is stored. `uncollapsed`: it goes beside others that ask the same.
    pub fn prepare(mut self, fetch: &mut Fetch, uncollapsed: bool, now: Timestamp) -> Fetching<B> {
        let request = &self.lookup.request;
        fetch.keep = request.forwarded.as_ref().map(|names| {
            let own = CONDITIONAL.iter().map(|name| name.as_str().to_owned());
            names.iter().cloned().chain(own).collect()
        });
        let hit = self.lookup.hit.as_ref();
        let validators = hit.map(|hit| revalidation_headers(&hit.entry.meta));
        let validators = validators.unwrap_or_default();
        if request.ranged && validators.is_empty() {
            // What comes of the client's own conditions says nothing about what is stored.
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
    /// The same request before it goes to the origin once more, without a condition.
    pub fn without_condition(mut self) -> Miss<B> {
        self.lookup.hit = None;
        Miss {
            lookup: self.lookup,
            why: self.why,
        }
    }
}
