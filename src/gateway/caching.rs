//! A request's part with the cache: what is asked for, what is at hand, what may be done with it.

mod instead;
mod keys;
mod refresh;
mod told;
mod turn;

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::cache::{
    Bypass, CONDITIONAL, CacheKey, CacheRules, CacheStatus, Entry, Family, Fields, Forward, Lookup,
    NoVarySearch, RequestDirectives, Target, Use, WhyRevalidate, envelope, evaluate, is_exact,
    may_look_up, revalidation_headers,
};
use crate::engine::url::as_written;

use super::answer::Answer;
use super::body::Body;
use super::forward::{AsForwarded, Fetch};
use super::head::Head;
use super::problem::Problem;
use super::stored::served;
use crate::limiter::{self, Refresh};
pub use keys::{CachePlan, canonical_key, counted, key};

/// The cache's view of a request.
#[derive(Debug)]
pub enum Caching<B: Body> {
    /// The route has no cache.
    Off,
    /// The cache has no business with this request.
    Bypass(Bypass),
    /// The request may change what is stored under this key (RFC 9111 §4.4).
    Unsafe(Box<Change>),
    /// The cache may answer.
    On(Box<Cached<B>>),
}

/// A request that may change what is stored.
#[derive(Debug)]
pub struct Change {
    /// Whether the route says what may be in the key: what else was sent has a word in the answer to this.
    pub declared: bool,
    /// The settings of the route that reads it.
    pub rules: CacheRules,
    /// What it is stored under.
    pub url: CacheKey,
    /// When the request went to the origin.
    pub sent_at: Timestamp,
}

/// A request that the cache may answer.
#[derive(Debug)]
pub struct Cached<B: Body> {
    /// The route's settings.
    pub rules: CacheRules,
    /// What is asked for.
    pub url: CacheKey,
    /// Where the response to it lies: under the same key, or under that of a variant.
    pub key: CacheKey,
    /// What a response must say for itself to be the one, where the key leaves parameters out.
    search: Option<NoVarySearch>,
    /// What the variants of the response have in common, once it is known that there are several.
    family: Option<Family>,
    /// The generation of the leader that the store has, if the store was asked for it.
    generation: Option<Option<u64>>,
    /// What the client's `Cache-Control` asks.
    asked: RequestDirectives,
    /// The only request headers that reach the origin, if not all do.
    forwarded: Option<Rc<[String]>>,
    /// Whether request headers are part of the key.
    by_headers: bool,
    /// Whether the origin's answer can be relied on to be stored: it is asked by `GET` for the whole,
    /// and not for one client.
    stores: bool,
    /// Whether the client asks for a part.
    ranged: bool,
    /// What is stored.
    pub found: Option<Found<B>>,
    /// Whether the store lets this caller refresh the entry; absent if it was not asked.
    refresh: Option<Refresh>,
    /// For how long an entry at hand is believed without asking the store; absent: as long as it lives.
    l1_max_age: Option<Duration>,
    /// The values of the epoch keys, if the store was asked for them.
    pub epochs: Option<String>,
    /// When it was asked.
    pub epochs_at: Timestamp,
    /// For how long before the entry goes stale it is to be refreshed already.
    early: Duration,
    /// Whether it waited for another request's answer.
    waited: bool,
    /// Whether it goes to the origin beside others that ask the same: not each of them tells the store.
    pub alone: bool,
    /// Why the request goes to the origin.
    pub forward: Forward,
    /// When it went there.
    pub sent_at: Timestamp,
}

/// A stored response, and where it was.
#[derive(Debug)]
pub struct Found<B: Body> {
    /// The response.
    pub entry: Entry<B>,
    /// `l1` or `redis`.
    level: &'static str,
}

/// What to do about an admitted request.
pub enum Serve<B: Body> {
    /// Ask the origin.
    Origin(Caching<B>),
    /// Answer from the cache.
    Answer(Answer<B>),
    /// The same, and refresh the entry afterwards.
    AnswerAndRefresh(Answer<B>, Caching<B>),
    /// Answer with a problem.
    Refuse(Problem),
}

impl<B: Body> Caching<B> {
    /// What the cache makes of a request.
    /// `search`: which parameters count by the word of earlier responses.
    pub fn of(
        cache: &CachePlan,
        head: &impl Head,
        target: &Target<'_>,
        search: Option<&NoVarySearch>,
    ) -> Self {
        let Ok(method) = head.method().parse() else {
            return Self::Bypass(Bypass::Method);
        };
        let asked = match may_look_up(&method, head) {
            Lookup::Allowed(asked) => asked,
            Lookup::Bypass(why) => return Self::Bypass(why),
        };
        let is_text = |name: &String| head.value(name).is_none_or(|value| is_exact(&value));
        if !cache.vary.iter().all(is_text) {
            return Self::Bypass(Bypass::Octets);
        }
        let exact = key(cache, head, target);
        let url = match search {
            Some(search) => canonical_key(cache, head, target, search),
            None => exact.clone(),
        };
        let search = search.filter(|_| url != exact).cloned();
        let ranged = method == http::Method::GET && head.has("range");
        let forwarded = cache.forwarded.clone();
        let for_one = AsForwarded::new(head, forwarded.as_deref()).has("authorization");
        Self::On(Box::new(Cached {
            rules: cache.rules(target),
            key: url.clone(),
            url,
            search,
            family: None,
            generation: None,
            asked,
            forwarded,
            by_headers: !cache.vary.is_empty(),
            stores: method == http::Method::GET && !ranged && !for_one,
            ranged,
            found: None,
            refresh: None,
            l1_max_age: None,
            epochs: None,
            epochs_at: Timestamp::default(),
            early: Duration::ZERO,
            waited: false,
            alone: false,
            forward: Forward::Miss,
            sent_at: Timestamp::default(),
        }))
    }

    /// What it makes of an unsafe request to a URL that others `GET` from this `cache`.
    pub fn unsafe_for(cache: &CachePlan, head: &impl Head, target: &Target<'_>) -> Self {
        Self::Unsafe(Box::new(Change {
            declared: cache.forwarded.is_some(),
            rules: cache.rules(target),
            url: key(cache, head, target),
            sent_at: Timestamp::default(),
        }))
    }

    /// What `Cache-Status` says of a request that went past the cache.
    pub fn bypassed(&self) -> Option<CacheStatus> {
        match self {
            Self::Bypass(why) => Some(CacheStatus::bypassed(*why)),
            Self::Unsafe(..) => Some(CacheStatus::bypassed(Bypass::Method)),
            Self::Off | Self::On(_) => None,
        }
    }

    /// Whether the store should be asked about the entry. A `limited` request goes there anyway.
    pub fn needs_store(&self, head: &impl Head, limited: bool, now: Timestamp) -> bool {
        let Self::On(cached) = self else {
            return false;
        };
        match cached.evaluate(head, now) {
            Some(Use::Fresh { .. }) => cached.is_unchecked(now),
            Some(Use::StaleWhileRevalidate { .. }) => limited || cached.is_unchecked(now),
            _ => true,
        }
    }

    /// What to ask the store: `prefix` is that of all its keys, `cache` the route's.
    pub fn lookup(
        &self,
        target: &Target<'_>,
        cache: &CachePlan,
        prefix: &str,
        lease_for: Duration,
    ) -> Option<limiter::Lookup> {
        let Self::On(cached) = self else {
            return None;
        };
        let leases = cached.stores && !cached.only_if_cached() && !cached.rules.keeps_to_isolate();
        let digest = cached.key.hex();
        let found = cached.found.as_ref().map(|found| &found.entry);
        Some(limiter::Lookup {
            entry: format!("{prefix}:c:{digest}"),
            lease: format!("{prefix}:f:{digest}"),
            epochs: cached.epoch_keys(target, cache, prefix),
            lease_for: leases.then_some(lease_for),
            early: cached.early,
            known: found.and_then(|entry| envelope::head(&entry.meta, &entry.freshness)),
        })
    }

    /// What to do about the request, now that it is admitted and all is known. `draw` is between 0 and
    /// 1: by that it is decided whether a fresh entry is refreshed early.
    pub fn serve(self, head: &impl Head, draw: f64, now: Timestamp) -> Serve<B> {
        let Self::On(mut cached) = self else {
            return Serve::Origin(self);
        };
        let usage = cached.evaluate(head, now);
        let (refresh, forward) = match usage {
            Some(Use::Fresh { .. }) => (Some(cached.is_refreshed_early(draw, now)), Forward::Miss),
            Some(Use::StaleWhileRevalidate { .. }) => (Some(true), Forward::Stale),
            Some(Use::Stale {
                why: WhyRevalidate::Request,
                ..
            }) => (None, Forward::Request),
            Some(Use::Stale { .. }) => (None, Forward::Stale),
            Some(Use::VaryMismatch) => (None, Forward::VaryMiss),
            Some(Use::Unusable(_)) | None if cached.family.is_some() => (None, Forward::VaryMiss),
            Some(Use::Unusable(_)) | None if cached.by_headers => (None, Forward::Miss),
            Some(Use::Unusable(_)) | None => (None, Forward::UriMiss),
        };
        let missed = std::mem::replace(&mut cached.forward, forward);
        if let (Some(refresh), Some(found)) = (refresh, &cached.found) {
            let mut status = match cached.waited {
                true => CacheStatus::forwarded(missed),
                false => CacheStatus::hit(),
            };
            status.collapsed = cached.waited;
            status.ttl_ms = usage.and_then(|usage| usage.ttl_ms());
            status.detail = Some(found.level);
            let answer = served(&found.entry, head, status, now);
            return match refresh && cached.stores {
                true => Serve::AnswerAndRefresh(answer, Self::On(cached)),
                false => Serve::Answer(answer),
            };
        }
        if matches!(usage, Some(Use::VaryMismatch | Use::Unusable(_))) {
            cached.found = None;
        }
        match cached.only_if_cached() {
            true => Serve::Refuse(Problem::OnlyIfCached),
            false => Serve::Origin(Self::On(cached)),
        }
    }

    /// The path and the query that go to the origin of `url`, whose normal form `target` is: where the
    /// cache is asked, as the key has them, so that no spelling can bring another answer under the
    /// same key; else as the client wrote them.
    pub fn sent(
        &self,
        cache: Option<&CachePlan>,
        target: &Target<'_>,
        url: &str,
    ) -> Option<(String, Option<String>)> {
        if let (Self::On(_), Some(cache)) = (self, cache) {
            return Some((target.path().to_owned(), cache.query(target.query())));
        }
        let (path, query) = as_written(url)?;
        let query = match (self, cache) {
            // What changes something, and another protocol, are none of the cache's business.
            (Self::Bypass(why), Some(cache))
                if !matches!(why, Bypass::Method | Bypass::Upgrade) =>
            {
                cache.query_past_cache(query)
            }
            _ => query,
        };
        Some((path, query))
    }

    /// Makes a request for one client into a request for the cache: whole, and conditional on what
    /// is stored.
    pub fn prepare(&mut self, fetch: &mut Fetch, now: Timestamp) {
        let cached = match self {
            Self::On(cached) => cached,
            Self::Unsafe(change) => {
                change.sent_at = now;
                return;
            }
            Self::Off | Self::Bypass(_) => return,
        };
        cached.sent_at = now;
        fetch.keep = cached.forwarded.as_ref().map(|names| {
            let own = CONDITIONAL.iter().map(|name| name.as_str().to_owned());
            names.iter().cloned().chain(own).collect()
        });
        let found = cached.found.as_ref();
        let validators = found.map(|found| revalidation_headers(&found.entry.meta));
        let validators = validators.unwrap_or_default();
        if cached.ranged && validators.is_empty() {
            // What comes of the client's own conditions says nothing about what is stored.
            cached.found = None;
            return;
        }
        let part = |name: &http::HeaderName| matches!(name.as_str(), "range" | "if-range");
        let names = CONDITIONAL
            .iter()
            .filter(|name| !(cached.ranged && part(name)));
        fetch
            .remove
            .extend(names.map(|name| name.as_str().to_owned()));
        if !validators.is_empty() {
            let named = |(name, value): (http::HeaderName, String)| (name.to_string(), value);
            fetch.set.extend(validators.into_iter().map(named));
        }
    }
}

impl<B: Body> Cached<B> {
    /// Whether the client wants a stored response or none (RFC 9111 §5.2.1.7).
    pub const fn only_if_cached(&self) -> bool {
        self.asked.only_if_cached
    }

    /// The request as the origin gets to see it: what does not reach it tells no answers apart.
    pub fn as_forwarded<'a, H: Head>(&'a self, head: &'a H) -> AsForwarded<'a, H> {
        AsForwarded::new(head, self.forwarded.as_deref())
    }

    /// The keys of the epochs of the response: `prefix` is that of all the store's keys, `cache` the
    /// route's.
    pub fn epoch_keys(&self, target: &Target<'_>, cache: &CachePlan, prefix: &str) -> Vec<String> {
        match &self.search {
            Some(search) => cache.epoch_keys(prefix, &counted(target, search)),
            None => cache.epoch_keys(prefix, target),
        }
    }

    fn evaluate(&self, head: &impl Head, now: Timestamp) -> Option<Use> {
        let entry = &self.found.as_ref()?.entry;
        Some(evaluate(
            &entry.meta,
            &entry.freshness,
            &self.as_forwarded(head),
            &self.asked,
            now,
        ))
    }
}
